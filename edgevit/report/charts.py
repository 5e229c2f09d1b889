"""What every chart shares: the record of one, and the bare figure that it is drawn on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.report import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (5.2, 3.9)
"""Inches; one chart is as wide as a phone."""
FONT = 11


@dataclass(frozen=True)
class Chart:
    """`svg` is an <svg> element; `alt` says every figure that is drawn, for who cannot see it."""

    title: str
    svg: str
    alt: str
    caption: str


def empty(x: str, y: str) -> tuple[Figure, Axes]:
    """A figure of its own, without pyplot: pyplot keeps global state and may look for a display."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=SIZE, dpi=svg.DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x, color=svg.MUTED, fontsize=FONT)
    axes.set_ylabel(y, color=svg.MUTED, fontsize=FONT)
    axes.grid(axis="y", color=svg.LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(svg.LINE)
    axes.tick_params(colors=svg.MUTED, length=0, labelsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=x == "epoch"))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    return figure, axes
