"""What a device gives under load that lasts: the median over time, with temperature and clock where it tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgevit.report import charts, measured, places, svg
from edgevit.report.charts import Chart
from edgevit.report.places import Place
from edgevit.types import Latency, Moment, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOLD: dict[str, Callable[[Moment], float | None]] = {
    "p50, ms": lambda moment: moment.p50_ms,
    "°C": lambda moment: moment.conditions.celsius,
    "MHz": lambda moment: moment.conditions.mhz,
}
"""A panel for each, the last two only where something told them."""


def draw(report: Report) -> tuple[Chart, ...]:
    return tuple(chart for place in places.places(report) if (chart := _chart(place)))


def _chart(place: Place) -> Chart | None:
    found = [latency for latency in place.latencies if latency.sustained]
    if not found:
        return None
    panels = [name for name, of in TOLD.items() if any(of(moment) is not None for one in found for moment in one.sustained)]
    figure, axes = charts.stacked("seconds", panels, 2.7 + 1.2 * (len(panels) - 1))
    for name, panel in zip(panels, axes, strict=True):
        for number, one in enumerate(found):
            _plot(panel, _line(one, TOLD[name]), svg.colour(number), places.named(one, place.latencies))
    axes[0].set_ylim(bottom=0, top=1.15 * max(moment.p50_ms for one in found for moment in one.sustained))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", frameon=False, labelcolor=svg.INK, ncols=1)
    title = f"Under load: {place.name}"
    return Chart(title, svg.themed(figure, title), _alt(title, found, place), _caption(panels))


def _plot(panel: Axes, line: list[tuple[float, float]], colour: str, name: str) -> None:
    """A $ in a name is a $."""
    if line:
        marker, label = "o" if len(line) == 1 else "", name.replace("$", r"\$")
        panel.plot(*zip(*line, strict=True), color=colour, linewidth=1.8, marker=marker, label=label)


def _line(one: Latency, of: Callable[[Moment], float | None]) -> list[tuple[float, float]]:
    """Seconds since its own first stretch, and figures."""
    start = one.sustained[0].conditions.seconds
    pairs = ((moment.conditions.seconds - start, of(moment)) for moment in one.sustained)
    return [(seconds, value) for seconds, value in pairs if value is not None]


def _alt(title: str, found: Sequence[Latency], place: Place) -> str:
    said = (f"{places.named(one, place.latencies)} {measured.sustained(one)}" for one in found)
    return f"{title}, one image after the other. {'; '.join(said)}"


def _caption(panels: Sequence[str]) -> str:
    silent = [what for name, what in (("°C", "temperature"), ("MHz", "clock")) if name not in panels]
    told = f" The device does not tell its {' or '.join(silent)}." if silent else ""
    return f"The median of each stretch, one image after the other without a pause.{told}"
