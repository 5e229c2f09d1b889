"""What accuracy costs: top-1 against latency and against size. Host and device never share an axis of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.interval import wilson
from edgevit.report import charts, labels, svg, table, words
from edgevit.report.charts import Chart
from edgevit.types import Artifact, Latency, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHAPES = "os^DvPXp"
"""Markers, one for each target."""


@dataclass(frozen=True)
class Point:
    """An artifact at `x`, with its top-1 and the ends of the 95 % interval in percent."""

    artifact: Artifact
    x: float
    y: float
    low: float
    high: float

    @property
    def name(self) -> str:
        return words.plain(self.artifact.name)

    @property
    def hollow(self) -> bool:
        """Whether an evaluator answered in place of the runtime."""
        return self.artifact.where == "reference"


@dataclass(frozen=True)
class Look:
    """Which target has which shape, which recipe which colour, and what accuracies the charts span, in percent."""

    shapes: dict[str, str]
    colours: dict[str, str]
    span: tuple[float, float]

    def colour(self, point: Point) -> str:
        return self.colours[point.artifact.recipe]


def draw(report: Report) -> tuple[Chart, ...]:
    """One chart for each place and number of threads, and one of the sizes; none where there is nothing to draw."""
    look = _look(report)
    timed = [_latency_chart(report, group, look) for group in _groups(report)]
    sized = [point for a in report.artifacts if a.bytes is not None and (point := _point(a, a.bytes / 1e6))]
    if not sized:
        return tuple(timed)
    absent = _absent(report, sized, _no_size)
    return *timed, _chart("Accuracy and size", "size of the file, MB", sized, look, absent)


def _point(artifact: Artifact, x: float | None) -> Point | None:
    """None where there is no accuracy to draw, or nothing to draw it against."""
    top1 = artifact.top1
    if top1 is None or not math.isfinite(top1) or artifact.images <= 0 or x is None or not math.isfinite(x):
        return None
    low, high = wilson(top1, artifact.images)
    return Point(artifact, x, 100 * top1, 100 * low, 100 * high)


def _look(report: Report) -> Look:
    """By order of appearance. The same span on every chart, so that they can be compared side by side."""
    points = [point for artifact in report.artifacts if (point := _point(artifact, 0.0))]
    targets = dict.fromkeys(point.artifact.target for point in points)
    recipes = dict.fromkeys(point.artifact.recipe for point in points)
    low = min((point.low for point in points), default=0.0)
    high = max((point.high for point in points), default=100.0)
    margin = max(0.05 * (high - low), 0.2)
    return Look(
        shapes={target: SHAPES[number % len(SHAPES)] for number, target in enumerate(targets)},
        colours={recipe: svg.colour(number) for number, recipe in enumerate(recipes)},
        span=(low - margin, high + margin),
    )


def _groups(report: Report) -> tuple[tuple[Latency, ...], ...]:
    """Latencies that may stand in one chart: of one place, one machine and one number of threads."""
    groups: dict[tuple[str, str, int | None], list[Latency]] = {}
    for latency in report.latencies:
        groups.setdefault((latency.where, latency.machine, latency.threads), []).append(latency)
    return tuple(tuple(group) for group in groups.values() if _timed(report, group))


def _timed(report: Report, group: Sequence[Latency]) -> list[Point]:
    pairs = ((latency, artifact) for latency in group for artifact in report.artifacts)
    found = (_point(artifact, latency.p50_ms) for latency, artifact in pairs if table.belongs(latency, artifact))
    return [point for point in found if point]


def _latency_chart(report: Report, group: Sequence[Latency], look: Look) -> Chart:
    threads = group[0].threads
    where = table.latency_place(group[0], report.machine)
    how = where if threads is None else f"{where}, {words.counted(threads, 'thread')}"
    points = _timed(report, group)
    absent = _absent(report, points, _no_latency)
    return _chart(f"Accuracy and latency: {how}", "latency p50, ms", points, look, absent)


def _absent(report: Report, points: list[Point], reason: Callable[[Report, Artifact], str]) -> str:
    """Which artifacts are not in a chart, and why."""
    here = {id(point.artifact) for point in points}
    why: dict[str, list[str]] = {}
    for artifact in report.artifacts:
        if id(artifact) not in here:
            told = reason(report, artifact) if _point(artifact, 0.0) else f"accuracy {table.why_missing(artifact)}"
            why.setdefault(told, []).append(words.plain(artifact.name))
    parts = "; ".join(f"{words.listed(names)} ({told})" for told, names in why.items())
    return f"Not drawn: {parts}." if parts else "Every artifact is drawn."


def _no_size(report: Report, artifact: Artifact) -> str:
    return f"size {table.why_missing(artifact)}"


def _no_latency(report: Report, artifact: Artifact) -> str:
    found = table.latencies(report, artifact)
    if any(latency.p50_ms is not None for latency in found):
        return "its latency was measured under other conditions"
    reason = next((latency.reason for latency in found), table.NO_LATENCY)
    return f"latency {words.missing(reason)}"


def _chart(title: str, x: str, points: list[Point], look: Look, caption: str) -> Chart:
    figure, axes = charts.empty(x, "Top-1, %")
    references = _references(points)
    for reference in references:
        axes.axhline(reference, color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for point in points:
        _draw(axes, point, look)
    axes.set_xlim(0, 1.12 * max(point.x for point in points) or 1)
    axes.set_ylim(*look.span)
    _name(figure, axes, points, look, references)
    said = "; ".join(f"{point.name} {words.percent(point.y / 100)} at {point.x:.3g}" for point in points)
    return Chart(title, svg.themed(figure, title), f"{title}. Top-1 against {x}: {said}", caption)


def _references(points: list[Point]) -> list[float]:
    """The checkpoint's top-1 in percent: more than one where it was measured on different images."""
    found = {point.artifact.reference_top1 for point in points}
    return sorted(100 * top1 for top1 in found if top1 is not None and math.isfinite(top1))


def _draw(axes: Axes, point: Point, look: Look) -> None:
    """A marker and its interval. The filled one has a rim of paper, so that two that overlap stay two."""
    colour = look.colour(point)
    ends = [[max(0.0, point.y - point.low)], [max(0.0, point.high - point.y)]]
    axes.errorbar([point.x], [point.y], yerr=ends, fmt="none", color=colour, elinewidth=1.2, capsize=3, zorder=2)
    face, edge = (svg.PAPER, colour) if point.hollow else (colour, svg.PAPER)
    shape, width = look.shapes[point.artifact.target], 1.5 if point.hollow else 1.0
    axes.scatter([point.x], [point.y], s=70, marker=shape, facecolors=face, edgecolors=edge, linewidths=width, zorder=3)


def _name(figure: Figure, axes: Axes, points: list[Point], look: Look, references: list[float]) -> None:
    """Write the name of each artifact beside its point. Last: the scales must be settled."""
    figure.draw_without_rendering()
    frame = labels.Box(*axes.get_window_extent().extents)
    lines = [_line(axes, frame, reference) for reference in references]
    marks = [_mark(axes, point) for point in points]
    for point, spot in zip(points, labels.place(marks, frame, lines), strict=True):
        _write(axes, point, spot, look.colour(point))


def _write(axes: Axes, point: Point, spot: labels.Spot, colour: str) -> None:
    """A name, with a thin line to its point where it stands off. `parse_math` is off: a $ in a name is a $."""
    left = spot.dx < 0
    leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 5, "relpos": (left, 0.5)}
    text = axes.annotate(
        point.name,
        (point.x, point.y),
        xytext=(spot.dx, spot.dy),
        textcoords="offset points",
        horizontalalignment="right" if left else "left",
        verticalalignment="center",
        color=colour,
        fontsize=labels.FONT,
        parse_math=False,
        arrowprops=leader if spot.far else None,
    )
    text.set_in_layout(False)


def _mark(axes: Axes, point: Point) -> labels.Mark:
    ends = [(point.x, value) for value in (point.y, point.low, point.high)]
    (x, y), (_, low), (_, high) = axes.transData.transform(ends).tolist()
    return labels.Mark(x, y, low, high, point.name)


def _line(axes: Axes, frame: labels.Box, reference: float) -> labels.Box:
    """What the dashed line of the checkpoint covers."""
    ((_, y),) = axes.transData.transform([(0, reference)]).tolist()
    return labels.Box(frame.left, y - 1, frame.right, y + 1)
