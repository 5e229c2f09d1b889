"""Small line charts for a terminal, in braille dots: the one place that knows plotille."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from edgevit.types import Line

COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red", "bright_cyan", "bright_yellow")
BLANK = 0x2800
"""The first of the braille characters; the lowest eight bits of one are its dots."""
ACROSS, DOWN = 2, 4
"""Dots of a character."""


@dataclass(frozen=True)
class Drawn:
    """A line of a chart, what it is called, and the number of its colour."""

    name: str
    line: Line
    colour: int


def chart(title: str, drawn: Sequence[Drawn], width: int, height: int) -> Text:
    """A chart of `width` columns, its ends at the axes, and `height` rows besides title and axis."""
    low, high = _ends([value for one in drawn for _, value in one.line])
    first, last = _ends([epoch for one in drawn for epoch, _ in one.line])
    names = [_number(value) for value in (low, high)]
    margin = max(map(len, names))
    columns = max(8, width - margin - 2)
    cells = [_dots(one.line, (first, last), (low, high), columns, height) for one in drawn]
    text = _head(title, drawn, width)
    for row in range(height):
        name = names[1] if row == 0 else names[0] if row == height - 1 else ""
        text.append(f"\n{name:>{margin}} ", "dim").append("┤" if name else "│", "dim")
        text.append_text(_row([rows[row] for rows in cells], [_colour(one) for one in drawn]))
    ends = f"{first:g}".ljust(columns - len(f"{last:g}")) + f"{last:g}"
    text.append(f"\n{'':{margin}} └{'─' * columns}\n{'':{margin}}  {ends}", "dim")
    return text


def _head(title: str, drawn: Sequence[Drawn], width: int) -> Text:
    """The title, and the names by their colours where there are several."""
    text = Text().append(title, "bold")
    named = [one for one in drawn if one.name]
    if len(named) > 1:
        text.append("  ").append_text(legend(named))
    text.truncate(width, overflow="ellipsis")
    return text


def legend(drawn: Sequence[Drawn]) -> Text:
    """The names by their colours."""
    return Text("  ").join(Text(f"━ {one.name}", _colour(one)) for one in drawn)


def _colour(one: Drawn) -> str:
    return COLOURS[one.colour % len(COLOURS)]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest, apart from each other."""
    low, high = min(values), max(values)
    if low < high:
        return low, high
    return (low - abs(low) / 10, high + abs(high) / 10) if low else (-1.0, 1.0)


def _dots(line: Line, xs: tuple[float, float], ys: tuple[float, float], columns: int, rows: int) -> list[list[int]]:
    """The line as dots: for each row of characters, from the top, the low eight bits of each."""
    import plotille

    canvas = plotille.Canvas(columns, rows, 0, 0, ACROSS * columns, DOWN * rows)
    points = [(_scaled(x, xs, ACROSS * columns), _scaled(y, ys, DOWN * rows)) for x, y in line]
    canvas.point(*points[0])
    for start, end in itertools.pairwise(points):
        canvas.line(*start, *end)
    found = canvas.plot(linesep="\n").split("\n")
    return [[ord(char) - BLANK if ord(char) >= BLANK else 0 for char in row.ljust(columns)] for row in found]


def _scaled(value: float, ends: tuple[float, float], dots: int) -> float:
    """A value as a dot, of which the first is 0."""
    return round((value - ends[0]) / (ends[1] - ends[0]) * (dots - 1))


def _row(lines: Sequence[Sequence[int]], colours: Sequence[str]) -> Text:
    """One row of all lines: their dots together, in the colour of the last that has some there."""
    text = Text()
    for dots in zip(*lines, strict=True):
        has = [number for number, one in enumerate(dots) if one]
        together = 0
        for one in dots:
            together |= one
        text.append(chr(BLANK + together) if has else " ", colours[has[-1]] if has else "")
    return text


def _number(value: float) -> str:
    """To three digits, as short as that can be said."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}" if size >= 1e-3 or not size else f"{value:.1e}"
