"""Peak memory of each artifact's process, and what of it was held before the model was loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.report import charts, measured, places, svg, words
from edgevit.report.charts import Chart
from edgevit.report.places import Place
from edgevit.types import Latency, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOP, HEIGHT = 0.46, 0.42
"""Of a bar in its lane."""


def draw(report: Report) -> tuple[Chart, ...]:
    return tuple(chart for place in places.places(report) if (chart := _chart(place)))


def _chart(place: Place) -> Chart | None:
    found = sorted((x for x in place.latencies if x.peak_bytes is not None), key=lambda x: x.peak_bytes or 0)
    if not found:
        return None
    shown = found[: charts.MOST]
    names = [places.named(one, place.latencies) for one in shown]
    figure, axes = charts.lanes("peak memory of the process, MB", names)
    for row, one in enumerate(shown):
        _bar(axes, row, one)
    axes.set_xlim(0, 1.18 * max(one.peak_bytes or 0 for one in shown) / 1e6 or 1)
    title = f"Memory: {place.name}"
    alt = "; ".join(f"{name} {_figures(one)}" for name, one in zip(names, shown, strict=True))
    return Chart(title, svg.themed(figure, title), f"{title}. Peak of the process: {alt}", _caption(found, place))


def _bar(axes: Axes, row: int, one: Latency) -> None:
    peak, before = (one.peak_bytes or 0) / 1e6, (measured.before_load(one) or 0) / 1e6
    middle = row + TOP + HEIGHT / 2
    axes.barh([middle], [peak], height=HEIGHT, color=svg.colour(0), edgecolor=svg.colour(0), linewidth=1)
    if before:
        axes.barh([middle], [before], height=HEIGHT, color=svg.PAPER, edgecolor=svg.colour(0), linewidth=1)
    axes.text(peak, middle, f" {words.size(one.peak_bytes or 0)}", va="center", color=svg.INK, fontsize=charts.FONT)


def _figures(one: Latency) -> str:
    before = measured.before_load(one)
    return words.size(one.peak_bytes or 0) + (f", {words.size(before)} of it before the model" if before is not None else "")


def _caption(found: list[Latency], place: Place) -> str:
    said = ["The highest of all launches, the runtime's libraries with it."]
    if any(measured.before_load(one) is not None for one in found):
        said.append("Hollow: held before the model was loaded.")
    said += [f"The largest {len(found) - charts.MOST} are not drawn."] if len(found) > charts.MOST else []
    silent = [places.named(x, place.latencies) for x in place.latencies if x.p50_ms is not None and x.peak_bytes is None]
    said += [f"Not told: {words.listed(silent)}."] if silent else []
    return " ".join(said)
