"""What every chart shares: the record of one, and the bare figure that it is drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.report import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (5.2, 3.9)
"""Inches; one chart is as wide as a phone."""
FONT = 11
LANE = 0.62
"""Inches of one lane of several."""
MOST = 16
"""Lanes of one chart; a phone shows no more."""


@dataclass(frozen=True)
class Chart:
    """`svg` is an <svg> element; `alt` says every figure that is drawn, for who cannot see it."""

    title: str
    svg: str
    alt: str
    caption: str


def empty(x: str, y: str) -> tuple[Figure, Axes]:
    """A figure of its own, without pyplot: pyplot keeps global state and may look for a display."""
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = stacked(x, (y,), SIZE[1])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=x == "epoch"))
    return figure, axes


def stacked(x: str, ys: Sequence[str], height: float) -> tuple[Figure, tuple[Axes, ...]]:
    """Panels one above the other over the same `x`, the first larger; `height` in inches of all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE[0], height), dpi=svg.DPI, layout="constrained")
    ratios = [2] + [1] * (len(ys) - 1)
    panels = tuple(figure.subplots(len(ys), sharex=True, squeeze=False, height_ratios=ratios)[:, 0])
    for axes, y in zip(panels, ys, strict=True):
        _bare(axes, y)
    panels[-1].set_xlabel(x, color=svg.MUTED, fontsize=FONT)
    return figure, panels


def _bare(axes: Axes, y: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel(y, color=svg.MUTED, fontsize=FONT)
    axes.grid(axis="y", color=svg.LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(svg.LINE)
    axes.tick_params(colors=svg.MUTED, length=0, labelsize=FONT)
    axes.yaxis.set_major_locator(MaxNLocator(6))


def lanes(x: str, names: Sequence[str]) -> tuple[Figure, Axes]:
    """A lane of height 1 for each name, on an axis that points down: the first from 0 to 1, its name on top in it."""
    figure, (axes,) = stacked(x, ("",), 0.9 + LANE * len(names))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=svg.LINE, linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylim(len(names), 0)
    for row, name in enumerate(names):
        across = axes.get_yaxis_transform()
        axes.text(0.0, row + 0.22, name, transform=across, va="center", color=svg.INK, fontsize=FONT, parse_math=False)
    return figure, axes
