"""A picture of where a file parts from the model that it was written from."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgevit.pictures import paper as papers
from edgevit.pictures.paper import Drawing, Paper
from edgevit.types import Bisected, Sided

LEAST = 1e-9
"""Of an error that is drawn: the axis is logarithmic."""


def errors(found: Bisected) -> Drawing:
    names = " and ".join(side.name for side in found.sides)
    title = f"{names} beside the model that was converted, stage by stage"
    words = (
        "Behind each stage the relative error of the tokens from those of the model as it was converted: what the stage adds, "
        "from the file's own tensor before it, and with all before it. Dotted: what a stage alone may add. "
        + (f"They part at {found.parts}." if found.parts else "No stage adds more.")
    )
    return Drawing("bisect", title, words, lambda paper: _draw(found, title, paper))


def _draw(found: Bisected, title: str, paper: Paper) -> Figure:
    names = [stage.name for stage in found.sides[0].stages]
    figure = papers.sheet(max(5.0, 1.6 + 0.38 * len(names)), 3.4)
    axes = figure.subplots()
    for side, colour in zip(found.sides, (paper.first, paper.second), strict=False):
        _side(axes, side, colour)
    if found.parts:
        axes.axvline(names.index(found.parts), color=paper.line, linewidth=8, zorder=0)
    axes.set_yscale("log")
    papers.name(axes, paper, "", "relative error")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=papers.FONT - 1, parse_math=False)
    axes.legend(frameon=False, labelcolor=paper.ink, fontsize=papers.FONT - 1)
    papers.title(axes, paper, title)
    return figure


def _side(axes: Axes, side: Sided, colour: str) -> None:
    places = range(len(side.stages))
    own, whole = (
        [float("nan") if error is None else min(max(error, LEAST), 1 / LEAST) for error in errors]
        for errors in ([stage.own for stage in side.stages], [stage.whole for stage in side.stages])
    )
    axes.plot(places, own, color=colour, marker="o", markersize=4, linewidth=1.4, label=f"{side.name}: this stage alone")
    axes.plot(places, whole, color=colour, marker="D", markersize=3, linewidth=0.8, linestyle="--", label="with all before it")
    axes.axhline(side.own_tolerance, color=colour, linewidth=0.8, linestyle=":")
