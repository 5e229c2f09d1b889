"""The curves of trainings as charts of a page: one for each metric, several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgevit.report import charts, svg, words
from edgevit.report.charts import Chart
from edgevit.types import Course, Line, Panel, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(courses: Sequence[Course]) -> tuple[Chart, ...]:
    return tuple(_chart(panel, courses) for panel in panels(courses))


def _chart(panel: Panel, courses: Sequence[Course]) -> Chart:
    title = f"{panel.title}, {panel.unit}" if panel.unit else panel.title
    figure, axes = charts.empty("epoch", "")
    told = []
    for run, course in enumerate(courses):
        for series in panel.series:
            if line := course.line(series.key, panel.scale):
                many = len(courses) > 1
                held_out = series.name == "held-out"
                _plot(
                    axes, line, run if many else int(held_out) if len(panel.series) > 1 else 0, many and series.name == "training"
                )
                axes.lines[-1].set_label(series.name)
                whose = f"{words.plain(course.name)}, " * many
                told.append(f"{whose}{_told(series.name, line)}")
    if len(panel.series) > 1 and len(courses) == 1:
        axes.legend(frameon=False, labelcolor=svg.INK)
    caption = "; ".join(told)
    return Chart(title, svg.themed(figure, title), f"{title}, by epoch: {caption}", f"{caption[0].upper()}{caption[1:]}.")


def _plot(axes: Axes, line: Line, colour: int, dashed: bool) -> None:
    marker, style = "o" if len(line) == 1 else "", (0, (3, 2)) if dashed else "-"
    axes.plot(*zip(*line, strict=True), marker=marker, color=svg.colour(colour), linewidth=1.8, linestyle=style)


def _told(name: str, line: Line) -> str:
    (first, start), (last, end) = line[0], line[-1]
    if first == last:
        return f"{name} {start:.4g} in epoch {first:g}"
    return f"{name} from {start:.4g} in epoch {first:g} to {end:.4g} in epoch {last:g}"
