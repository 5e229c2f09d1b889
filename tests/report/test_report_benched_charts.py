"""The charts of a bench: the Pareto front, single runs launch by launch, a sustained run, memory; none where there is nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from edgevit.report import accuracy, fit, front, memory, places, spread, sustained
from edgevit.types import Latency, Report, Unit

Timed = Callable[..., Latency]


def on_front(report: Report, *latencies: Latency) -> list[str]:
    (place,) = places.places(replace(report, latencies=latencies, devices=()))
    return [one.name for one in front.front(fit.candidates(report, place))]


def test_the_front_holds_what_nothing_beats(report: Report, timed: Timed) -> None:
    """fp32 answers better than int8; of the two int8 of equal accuracy the slower is beaten."""
    fast, slow, exact = timed("executorch-int8", 4.0), timed("litert-int8", 6.0), timed("executorch-fp32", 8.0)
    assert on_front(report, slow, exact, fast) == ["executorch-int8", "executorch-fp32"]
    assert on_front(report, slow, exact) == ["litert-int8", "executorch-fp32"]
    assert on_front(report, replace(exact, p90_ms=3.0), fast) == ["executorch-fp32"]


def test_two_with_the_same_figures_are_both_on_the_front(report: Report, timed: Timed) -> None:
    fast = timed("executorch-int8", 4.0)
    assert on_front(report, fast, replace(fast, artifact="litert-int8")) == ["executorch-int8", "litert-int8"]


def test_what_may_not_be_shipped_is_never_on_the_front(report: Report, timed: Timed) -> None:
    wrong, evaluated = timed("litert-int4", 1.0), timed("coreml-int8", 1.0)
    assert on_front(report, wrong, evaluated) == []
    assert on_front(report, replace(timed("executorch-int8", 4.0), p90_ms=None)) == []


def test_the_front_is_drawn_for_each_device_and_refusals_are_named(benched: Report) -> None:
    host, phone, _ = accuracy.draw(benched)
    assert host.title == "Accuracy and p90: this machine (host), 4 threads"
    assert host.alt.endswith("Pareto front: litert-int8 and executorch-fp32")
    assert phone.alt.endswith("Pareto front: litert-int8 on GPU and executorch-fp32")
    assert "Never on the front: litert-int4 (WRONG_ANSWERS, top-1 fell by 8.20 points)." in phone.caption
    assert "executorch-int8 on GPU (latency not measured: the file has no GPU delegate)" in phone.caption


def test_numbers_of_threads_have_charts_of_their_own_with_all_other_units(report: Report, timed: Timed) -> None:
    gpu = timed("litert-int8", 3.0, unit=Unit.GPU, threads=None)
    single, four = timed("executorch-int8", 9.0, threads=1), timed("executorch-int8", 4.0)
    charts = accuracy.draw(replace(report, latencies=(single, four, gpu)))
    titles = [chart.title for chart in charts[:2]]
    assert titles == [f"Accuracy and p90: adb:R5CT (device), {threads}" for threads in ("1 thread", "4 threads")]
    assert all("litert-int8 97.0 % at" in chart.alt for chart in charts[:2])
    assert all(chart.alt.count("executorch-int8") == 1 for chart in charts[:2]), "in the picture, beaten, and not on the front"


def strokes(chart: str, colour: int) -> int:
    """How many single runs are drawn in one colour."""
    found = [e.get("d", "") for e in ElementTree.fromstring(chart).iter("path") if e.get("stroke") == f"var(--c{colour})"]
    return sum(len(re.findall("M", path)) for path in found)


def test_every_run_is_a_stroke(report: Report, timed: Timed) -> None:
    (chart,) = spread.draw(replace(report, latencies=(timed("executorch-int8", 4.0, launches=7, runs=9),)))
    assert strokes(chart.svg, 0) == 63
    assert "over 63 runs in 7 launches" in chart.alt


def test_of_many_runs_some_are_drawn_and_it_is_said(report: Report, timed: Timed) -> None:
    (chart,) = spread.draw(replace(report, latencies=(timed("executorch-int8", 4.0, runs=500),)))
    assert f"Of launches with more than {spread.STROKES} runs {spread.STROKES} are drawn, evenly by rank." in chart.caption
    many = tuple(float(i) for i in range(1000))
    kept = spread.drawn(many[::-1])
    assert len(kept) == spread.STROKES and (kept[0], kept[-1]) == (0.0, 999.0) and sorted(kept) == list(kept)


def test_a_device_that_tells_no_single_runs_has_no_such_chart(report: Report, timed: Timed) -> None:
    bare = replace(timed("executorch-int8", 4.0), launches=())
    assert spread.draw(replace(report, latencies=(bare,))) == ()
    (chart,) = spread.draw(replace(report, latencies=(bare, timed("litert-int8", 4.0))))
    assert "Not drawn, since no single runs are told: executorch-int8." in chart.caption


@pytest.mark.parametrize("centre", [4.2, 400.0])
def test_near_and_far_times_share_one_axis(report: Report, timed: Timed, centre: float) -> None:
    (chart,) = spread.draw(replace(report, latencies=(timed("executorch-int8", 4.0), timed("litert-int8", centre))))
    written = ["".join(text.itertext()) for text in ElementTree.fromstring(chart.svg).iter("text")]
    numbers = [float(text) for text in written if re.fullmatch(r"[\d.]+", text)]
    assert 3 <= len(numbers) <= 8 and max(numbers) > 0.4 * centre


def test_only_so_many_lanes(report: Report, timed: Timed) -> None:
    several = tuple(timed(f"executorch-{i}", 4.0 + i, launches=1, runs=3) for i in range(20))
    (runs,), (held,) = spread.draw(replace(report, latencies=several)), memory.draw(replace(report, latencies=several))
    assert "The slowest 4 are not drawn." in runs.caption and "The largest 4 are not drawn." in held.caption


def test_a_sustained_run_shows_temperature_and_clock_where_they_are_told(benched: Report) -> None:
    (chart,) = sustained.draw(benched)
    assert chart.title == "Under load: Some phone 9 (device)"
    written = ["".join(text.itertext()) for text in ElementTree.fromstring(chart.svg).iter("text")]
    assert {"p50, ms", "°C", "MHz", "seconds", "executorch-fp32", "executorch-int8 on CPU"} <= set(written)
    assert "not tell" not in chart.caption


def test_a_sustained_run_without_conditions_says_so(benched: Report) -> None:
    one = benched.latencies[3]
    bare = tuple(replace(m, conditions=replace(m.conditions, celsius=None, mhz=None)) for m in one.sustained)
    (chart,) = sustained.draw(replace(benched, latencies=(replace(one, sustained=bare),)))
    assert chart.caption.endswith("The device does not tell its temperature or clock.")
    assert "°C" not in chart.svg and "MHz" not in chart.svg


def test_memory_says_what_was_held_before(benched: Report, report: Report) -> None:
    host, phone = memory.draw(benched)
    assert "executorch-fp32 39.0 MB, 24.0 MB of it before the model" in host.alt
    assert "Hollow: held before the model was loaded." in phone.caption
    assert memory.draw(report) == () and sustained.draw(report) == ()


def test_every_chart_follows_the_page_and_no_two_share_an_id(benched: Report) -> None:
    charts = (*spread.draw(benched), *sustained.draw(benched), *memory.draw(benched))
    for chart in charts:
        assert "style" not in chart.svg and not re.search(r'"#[0-9a-f]{6}"', chart.svg)
    ids = [found for chart in charts for found in re.findall(r' id="([^"]+)"', chart.svg)]
    assert ids and len(ids) == len(set(ids))


def test_a_dollar_in_a_name_is_a_dollar(report: Report, timed: Timed) -> None:
    odd = replace(timed("$int8$", 4.0), sustained=())
    (chart,) = spread.draw(replace(report, latencies=(odd,)))
    assert "$int8$" in chart.svg
