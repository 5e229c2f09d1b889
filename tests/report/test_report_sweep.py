"""The report of a search: what it says of few images, of trials without a figure, and of what others wrote."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from edgevit import record
from edgevit.report import sweep, sweep_charts
from edgevit.types import Searched, Sweep


def test_three_files_and_the_record_reads_back(swept_folder: Path, swept: Sweep) -> None:
    assert sorted(os.listdir(swept_folder)) == ["sweep.html", "sweep.json", "sweep.md"]
    assert record.read(swept_folder / "sweep.json", Sweep) == swept


def test_what_it_says_first(swept: Sweep) -> None:
    page = sweep.build(swept)
    assert page.headline == "Trial 3 did best: 92.5 % of 143 images, with lr 0.002, drop-path 0.15, batch 32, model Nano/8"
    assert page.details[0] == "95 % interval of that figure: 87.0 % to 96.0 %."
    assert page.details[1] == "2 other trials lie within it: so many images do not tell them from the best."
    assert page.details[-1].endswith("on all training images: 91.0 % of the held-out ones, which had no say.")
    nothing = sweep.build(
        dataclasses.replace(swept, trials=swept.trials[1:2], best=None, low=None, high=None, final_top1=None, again="")
    )
    assert nothing.headline == "None of 1 trial came to its end" and nothing.details == ()


def test_the_table_has_the_best_first_and_those_without_a_figure_by_how_far_they_came(swept: Sweep) -> None:
    page = sweep.build(swept)
    assert [row.number for row in page.rows] == [f"Trial {n}" for n in (3, 8, 5, 1, 4, 2, 6, 7)]
    assert [row.rank for row in page.rows] == ["1", "2", "3", "4", "", "", "", ""]
    assert page.rows[2].why == "begun 3 times" and page.rows[4].why == "25.0 % after 3 epochs; below the median"
    assert [row.tone for row in page.rows] == ["good"] * 4 + ["idle", "bad", "bad", "idle"]
    assert page.head == ("Trial", "Rank", "Top-1", "lr", "drop-path", "batch", "model", "Seconds", "Came out")


def test_importance_is_said_with_its_count_or_why_not(swept: Sweep) -> None:
    assert sweep.build(swept).importance_note == "Not computed: 4 trials came to the end, and fewer than 20 say nothing."
    assert sweep.build(dataclasses.replace(swept, space=swept.space[:1])).importance_note.endswith(
        "one setting alone was searched."
    )
    page = sweep.build(dataclasses.replace(swept, importance={"drop_path": 0.25, "lr": 0.75}))
    assert [(fact.name, fact.value) for fact in page.importance] == [("lr", "75.0 %"), ("drop-path", "25.0 %")]
    assert page.importance_note.endswith("by PED-ANOVA of the 4 trials that came to the end.")


def test_no_place_of_this_machine_is_shown_in_the_page(swept_folder: Path) -> None:
    for name in ("sweep.html", "sweep.md"):
        assert "somebody" not in (swept_folder / name).read_text() and "flowers" in (swept_folder / name).read_text()


def test_one_chart_of_all_and_one_for_each_setting(swept: Sweep) -> None:
    charts = sweep_charts.draw(swept)
    assert [chart.title for chart in charts] == [
        "Top-1 trial by trial", "Top-1 against lr", "Top-1 against drop-path", "Top-1 against batch", "Top-1 against model",
    ]  # fmt: skip
    assert "trial 3: 92.5 %" in charts[0].alt and "trial 4: 25 %" in charts[0].alt and "trial 2" not in charts[0].alt
    assert charts[0].caption.endswith("3 trials without a figure.")
    assert sweep_charts.draw(dataclasses.replace(swept, trials=swept.trials[1:2])) == ()


def _texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_range_that_is_even_in_the_logarithm_has_such_an_axis(swept: Sweep) -> None:
    """Equal factors are equal distances, and the ticks are plain numbers."""
    lr, linear = sweep_charts.draw(swept)[1:3]
    assert {"0.0001", "0.001", "0.01"} <= set(_texts(lr.svg)) and not [t for t in _texts(lr.svg) if "$" in t or "10^" in t]
    places = {value: float(x) for x, value in re.findall(r'<text[^>]*x="([\d.]+)"[^>]*>(0\.0+1)</text>', lr.svg)}
    assert places["0.001"] - places["0.0001"] == pytest.approx(places["0.01"] - places["0.001"], abs=0.5)
    assert {"0.00", "0.20"} <= set(_texts(linear.svg))


def test_long_names_and_many_values_fit_below_an_axis(swept: Sweep) -> None:
    assert "12345678901…" in _texts(sweep_charts.draw(swept)[4].svg)
    many = Searched("batch", tuple(range(1, 41)))
    trials = tuple(dataclasses.replace(t, settings={"batch": t.number}) for t in swept.trials)
    chart = sweep_charts.draw(dataclasses.replace(swept, space=(many,), trials=trials))[1]
    assert len([text for text in _texts(chart.svg) if text.isdigit()]) < 20


def test_the_same_search_gives_the_same_page(swept_folder: Path, tmp_path: Path, swept: Sweep) -> None:
    again = tmp_path / "again"
    again.mkdir()
    sweep.write(swept, again)
    for name in ("sweep.html", "sweep.md", "sweep.json"):
        assert (swept_folder / name).read_bytes() == (again / name).read_bytes()


def test_what_others_wrote_is_text(swept_folder: Path, tmp_path: Path) -> None:
    page, text = (swept_folder / "sweep.html").read_text(), (swept_folder / "sweep.md").read_text()
    assert "<script" not in page and "http" not in re.sub(r"http-equiv", "", page) and "style=" not in page
    assert not re.search(r"(?<!\\)<script", re.sub(r"```sh\n.*?```", "", text, flags=re.DOTALL)) and "\\[k\\]" in text
