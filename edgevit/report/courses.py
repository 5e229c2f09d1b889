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
    told = [line for number, course in enumerate(courses) for line in _course(axes, panel, course, number, len(courses) > 1)]
    if len(courses) == 1 and len(panel.series) > 1:
        axes.legend(frameon=False, labelcolor=svg.INK)
    whole = "; ".join(told)
    caption = _last(panel, courses) if len(courses) > 1 else f"{whole[0].upper()}{whole[1:]}."
    return Chart(title, svg.themed(figure, title), f"{title}, by epoch: {whole}", caption)


def _course(axes: Axes, panel: Panel, course: Course, number: int, many: bool) -> list[str]:
    """Draw what a run has of a panel, and tell it. Among many a colour is a run's, and what was trained on is dashed."""
    told = []
    for series in panel.series:
        if line := course.line(series.key, panel.scale):
            colour = number if many else int(series.name == "held-out")
            style = (0, (3, 2)) if many and series.name == "training" else "-"
            marker = "o" if len(line) == 1 else ""
            x, y = zip(*line, strict=True)
            axes.plot(x, y, marker=marker, color=svg.colour(colour), linewidth=1.8, linestyle=style, label=series.name)
            told.append(f"{words.plain(course.name)}, " * many + _told(series.name, line))
    return told


def _last(panel: Panel, courses: Sequence[Course]) -> str:
    """Where each run ended, of the last series: held-out images, where there are such."""
    key = panel.series[-1].key
    ends = ((words.plain(course.name), course.line(key, panel.scale)) for course in courses)
    return f"At the end, {panel.series[-1].name}: {', '.join(f'{name} {line[-1][1]:.4g}' for name, line in ends if line)}."


def _told(name: str, line: Line) -> str:
    (first, start), (last, end) = line[0], line[-1]
    if first == last:
        return f"{name} {start:.4g} in epoch {first:g}"
    return f"{name} from {start:.4g} in epoch {first:g} to {end:.4g} in epoch {last:g}"
