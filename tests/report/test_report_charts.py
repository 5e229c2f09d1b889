"""The charts: the right points, themed by the page, the same each time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgevit.report import accuracy, curves, labels, svg
from edgevit.types import Latency, Report


def test_what_has_no_latency_is_only_in_the_chart_of_sizes(report: Report) -> None:
    timed, sized = accuracy.draw(report)
    assert timed.title == "Accuracy and p90: this machine (host), 2 threads"
    assert "coreml-int8" not in timed.alt and "coreml-int8 97.0 % at 0.428" in sized.alt
    assert "coreml-int8 (latency not measured: Core ML does not run on Linux)" in timed.caption
    assert "coreml-int4 (accuracy not measured: skipped)" in timed.caption


def test_host_and_device_have_charts_of_their_own(report: Report) -> None:
    phone = Latency("executorch-fp32", "device", 20.0, 21.0, 22.0, 50, 5, 1, "Some phone")
    titles = [chart.title for chart in accuracy.draw(replace(report, latencies=(*report.latencies, phone)))]
    assert titles[1] == "Accuracy and p90: Some phone (device), 1 thread"
    assert len(titles) == 3


def test_unequal_threads_never_share_an_axis(report: Report) -> None:
    single = replace(report.latencies[1], threads=1)
    charts = accuracy.draw(replace(report, latencies=(report.latencies[0], single)))
    assert [chart.title[-9:] for chart in charts[:2]] == ["2 threads", " 1 thread"]
    assert "executorch-int8 (its latency was measured under other conditions)" in charts[0].caption


def test_the_names_are_text_and_the_evaluators_marker_is_hollow(report: Report) -> None:
    _, sized = accuracy.draw(report)
    drawing = ElementTree.fromstring(sized.svg)
    written = ["".join(text.itertext()) for text in drawing.iter("text")]
    assert {"executorch-fp32", "coreml-int8", "litert-int4", "Top-1, %"} <= set(written)
    hollow = [e for e in drawing.iter() if e.get("fill") == "var(--paper)" and e.get("stroke", "").startswith("var(--c")]
    assert hollow


def test_a_chart_follows_the_page_and_has_no_style_of_its_own(report: Report) -> None:
    for chart in (*accuracy.draw(report), *curves.draw(report)):
        assert "style" not in chart.svg
        assert "font-family" not in chart.svg
        assert not re.search(r'"#[0-9a-f]{6}"', chart.svg)
        assert re.search(r"var\(--c\d\)", chart.svg) and "var(--line)" in chart.svg
        assert "metadata" not in chart.svg


def test_two_charts_share_no_id(report: Report) -> None:
    found = [i for c in (*accuracy.draw(report), *curves.draw(report)) for i in re.findall(r' id="([^"]+)"', c.svg)]
    assert found
    assert len(found) == len(set(found))


def test_the_same_report_gives_the_same_charts(report: Report) -> None:
    assert accuracy.draw(report) == accuracy.draw(report)


def test_an_extreme_accuracy_and_a_dollar_are_drawn(report: Report) -> None:
    perfect = replace(report.artifacts[1], top1=1.0, recipe="$int8$", bytes=0)
    hopeless = replace(report.artifacts[2], top1=0.0)
    (sized,) = accuracy.draw(replace(report, artifacts=(perfect, hopeless), latencies=()))
    assert "executorch-$int8$ 100.0 % at 0" in sized.alt
    assert "executorch-$int8$" in sized.svg


def test_nothing_to_draw_is_no_chart(report: Report) -> None:
    assert accuracy.draw(replace(report, artifacts=report.artifacts[5:])) == ()
    assert curves.draw(replace(report, curve=())) == ()


def test_the_curve_leaves_out_what_is_not_finite(report: Report) -> None:
    rows = ({"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.5}, {"epoch": 3.0, "loss": float("nan")})
    (loss,) = curves.draw(replace(report, curve=rows))
    assert loss.caption == "Training from 2 in epoch 1 to 1.5 in epoch 2."


def test_the_curve_shows_losses_and_accuracy(report: Report) -> None:
    loss, top1 = curves.draw(report)
    assert loss.caption == "Training from 2 in epoch 1 to 0.667 in epoch 3; held-out from 2.2 in epoch 1 to 0.733 in epoch 3."
    assert top1.caption == "Held-out from 50 in epoch 1 to 83.3 in epoch 3."


def test_a_foreign_colour_is_refused() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([0, 1], color="#123456")
    with pytest.raises(KeyError):
        svg.themed(figure, "salt")


def test_no_name_covers_a_mark_or_another_name() -> None:
    marks = [labels.Mark(x, 100.0, 80.0, 110.0, "executorch-int8") for x in (100.0, 103.0, 106.0, 300.0)]
    frame, line = labels.Box(0, 0, 400, 200), labels.Box(0, 99, 400, 101)
    spots = labels.place(marks, frame, [line])
    boxes = [spot.box(mark) for spot, mark in zip(spots, marks, strict=True)]
    others = [line, *(box for mark in marks for box in mark.boxes())]
    for number, box in enumerate(boxes):
        assert box.inside(frame)
        assert not any(box.overlaps(other) for other in [*others, *boxes[:number], *boxes[number + 1 :]])


def test_no_name_stands_behind_the_mark_of_another() -> None:
    """Where it would be taken for that one's."""
    marks = [labels.Mark(x, 50.0, 0.0, 100.0, text) for x, text in ((90.0, "executorch-int8"), (100.0, "tflite-int8"))]
    spots = labels.place(marks, labels.Box(0, 0, 310, 100), [labels.Box(0, 42, 310, 44), labels.Box(0, 60, 310, 100)])
    others = [box for mark in marks for box in mark.boxes()]
    assert [spot.crossed(mark, others) for spot, mark in zip(spots, marks, strict=True)] == [0, 0]
    assert labels.Spot(20, 0).crossed(marks[0], others) == 2 and labels.Spot(20, 13).crossed(marks[0], others) == 0


def test_where_no_spot_is_free_names_still_do_not_cover_each_other() -> None:
    """Intervals over all the height, as few images give them."""
    marks = [labels.Mark(x, 50.0, 0.0, 100.0, "executorch-fp32") for x in (150.0, 165.0, 180.0)]
    spots = labels.place(marks, labels.Box(0, 0, 300, 100), [])
    first, second, third = (spot.box(mark) for spot, mark in zip(spots, marks, strict=True))
    assert not (first.overlaps(second) or second.overlaps(third) or first.overlaps(third))


def test_a_name_that_fits_nowhere_is_still_written() -> None:
    mark = labels.Mark(5.0, 5.0, 4.0, 6.0, "a name longer than its frame")
    assert labels.place([mark], labels.Box(0, 0, 10, 10), []) == [labels.Spot(labels.GAPS[0], 0)]


COLOURS = re.compile(r"--([a-z0-9-]+): (#[0-9a-f]{3,6});")


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast of two colours written #rgb or #rrggbb."""

    def luminance(code: str) -> float:
        digits = code[1:] if len(code) == 7 else "".join(2 * digit for digit in code[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_every_colour_of_text_can_be_read_in_light_dark_and_print() -> None:
    style = (Path(svg.__file__).parent / "report.css").read_text()
    themes = [dict(COLOURS.findall(block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)]
    assert len(themes) == 3
    for theme in themes:
        text = ["ink", "muted", "good", "bad", "idle", *(f"c{number}" for number in range(svg.COLOURS))]
        assert min(contrast(theme[name], theme["paper"]) for name in text) >= 4.5
        assert min(contrast(theme[tone], theme[f"{tone}-tint"]) for tone in ("good", "bad", "idle")) >= 4.5
        assert min(contrast(theme["ink"], theme[f"{tone}-tint"]) for tone in ("good", "idle")) >= 4.5
