"""A picture of where the bytes of a model file are."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from edgevit.pictures import paper as papers
from edgevit.pictures.paper import Drawing, Paper
from edgevit.types import Contents, Layer

MANY = 40
"""Layers without a part that are drawn, the largest."""


def by_layer(found: Contents) -> Drawing:
    title = f"{Path(found.file).name}: {found.bytes / 1e6:.2f} MB of {found.format}"
    parts = found.parts(MANY)
    held = sum(part.bytes for part in parts)
    words = f"The bytes of constants by layer, {held / 1e6:.2f} MB of {found.bytes / 1e6:.2f} MB, with the type of most."
    return Drawing("bytes", title, words, lambda paper: _draw(found, parts, title, paper))


def _draw(found: Contents, parts: tuple[Layer, ...], title: str, paper: Paper) -> Figure:
    rest = found.bytes - sum(part.bytes for part in parts)
    rows = [*parts, Layer("all else in the file", "", "", rest, rest / max(1, found.bytes))]
    figure = papers.sheet(7.2, 1.0 + 0.19 * len(rows))
    axes = figure.subplots()
    for floats, colour, label in ((False, paper.first, "integers and palettes"), (True, paper.second, "floats")):
        mine = [(place, row.bytes / 1e6) for place, row in enumerate(rows[:-1]) if _floats(row) == floats]
        axes.barh([place for place, _ in mine], [size for _, size in mine], color=colour, height=0.7, label=label)
    axes.barh([len(parts)], [rest / 1e6], color=paper.muted, height=0.7)
    for place, row in enumerate(rows):
        axes.annotate(f"  {_said(row)}", (row.bytes / 1e6, place), va="center", color=paper.muted, fontsize=papers.FONT - 3)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.3)
    papers.name(axes, paper, "MB", "")
    axes.set_yticks(range(len(rows)), [papers.short(row.name, 34) for row in rows], fontsize=papers.FONT - 2, parse_math=False)
    axes.legend(frameon=False, labelcolor=paper.ink, fontsize=papers.FONT - 1, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    figure.suptitle(papers.short(title, 90), color=paper.ink, fontsize=papers.FONT + 1, x=0.01, ha="left", parse_math=False)
    return figure


def _floats(row: Layer) -> bool:
    """By the type of most bytes."""
    return row.dtype.partition(",")[0].startswith(("float", "bfloat"))


def _said(row: Layer) -> str:
    return ", ".join(filter(None, (f"{100 * row.share:.1f} %", papers.short(row.dtype, 34))))
