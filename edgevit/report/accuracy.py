"""What accuracy costs: top-1 against p90 and against size. Host and device never share an axis of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgevit.interval import wilson
from edgevit.report import charts, labels, places, svg, table, words
from edgevit.report.charts import Chart
from edgevit.report.fit import Candidate
from edgevit.report.front import front, groups
from edgevit.types import Artifact, Report

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
    name: str

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
    found = (_latency_chart(report, *group, look) for place in places.places(report) for group in groups(report, place))
    timed = [chart for chart in found if chart]
    sized = [point for a in report.artifacts if a.bytes is not None and (point := _point(a, a.bytes / 1e6))]
    if not sized:
        return tuple(timed)
    here = {id(point.artifact) for point in sized}
    absent = _absent([(words.plain(a.name), _no_size(a)) for a in report.artifacts if id(a) not in here])
    return *timed, _chart("Accuracy and size", "size of the file, MB", sized, look, absent)


def _point(artifact: Artifact, x: float | None, name: str = "") -> Point | None:
    """None where there is no accuracy to draw, or nothing to draw it against."""
    top1 = artifact.top1
    if top1 is None or not math.isfinite(top1) or artifact.images <= 0 or x is None or not math.isfinite(x):
        return None
    low, high = wilson(top1, artifact.images)
    return Point(artifact, x, 100 * top1, 100 * low, 100 * high, name or words.plain(artifact.name))


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


def _latency_chart(report: Report, where: str, found: tuple[Candidate, ...], look: Look) -> Chart | None:
    """None where nothing was measured."""
    points = {id(one): point for one in found if one.measured and (point := _point(one.artifact, one.latency.p90_ms, one.name))}
    if not points:
        return None
    gaps = [(one.name, _no_latency(one)) for one in found if id(one) not in points]
    here = {id(one.artifact) for one in found}
    gaps += [(words.plain(a.name), _not_here(report, a)) for a in report.artifacts if id(a) not in here]
    best = [points[id(one)] for one in front(found)]
    refused = [(one.name, one.against) for one in found if id(one) in points and one.against]
    apart = f" Never on the front: {_listed(refused)}." if refused else ""
    return _chart(f"Accuracy and p90: {where}", "latency p90, ms", list(points.values()), look, _absent(gaps) + apart, best)


def _absent(gaps: list[tuple[str, str]]) -> str:
    """Which artifacts are not in a chart, and why."""
    return f"Not drawn: {_listed(gaps)}." if gaps else "Every artifact is drawn."


def _listed(gaps: list[tuple[str, str]]) -> str:
    why: dict[str, list[str]] = {}
    for name, reason in gaps:
        why.setdefault(reason, []).append(name)
    return "; ".join(f"{words.listed(names)} ({told})" for told, names in why.items())


def _no_size(artifact: Artifact) -> str:
    return f"size {table.why_missing(artifact)}" if _point(artifact, 0.0) else f"accuracy {table.why_missing(artifact)}"


def _no_latency(one: Candidate) -> str:
    if not _point(one.artifact, 0.0):
        return f"accuracy {table.why_missing(one.artifact)}"
    return "p90 " + words.missing("no single runs are told") if one.measured else f"latency {words.missing(one.latency.reason)}"


def _not_here(report: Report, artifact: Artifact) -> str:
    if not _point(artifact, 0.0):
        return f"accuracy {table.why_missing(artifact)}"
    elsewhere = any(places.belongs(x, artifact) and x.p50_ms is not None for x in report.latencies)
    return "its latency was measured under other conditions" if elsewhere else f"latency {words.missing(table.NO_LATENCY)}"


def _chart(title: str, x: str, points: list[Point], look: Look, caption: str, best: Sequence[Point] = ()) -> Chart:
    figure, axes = charts.empty(x, "Top-1, %")
    references = _references(points)
    for reference in references:
        axes.axhline(reference, color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlim(0, 1.12 * max(point.x for point in points) or 1)
    axes.set_ylim(*look.span)
    _front(axes, best)
    for point in points:
        _draw(axes, point, look)
    _name(figure, axes, points, look, references)
    said = "; ".join(f"{point.name} {words.percent(point.y / 100)} at {point.x:.3g}" for point in points)
    on = f". Pareto front: {words.listed(point.name for point in best)}" if best else ""
    return Chart(title, svg.themed(figure, title), f"{title}. Top-1 against {x}: {said}{on}", caption)


def _front(axes: Axes, best: Sequence[Point]) -> None:
    """As steps: between two of them the one on the left is what can be had."""
    if best:
        ends = [*best, replace(best[-1], x=axes.get_xlim()[1])]
        line = [point.x for point in ends], [point.y for point in ends]
        axes.plot(*line, drawstyle="steps-post", color=svg.INK, linewidth=1.4, zorder=1.5)


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
