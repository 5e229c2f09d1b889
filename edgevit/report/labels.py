"""Where to write the names of the points of a chart so that no name covers a mark or another name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

FONT = 10.5
LINE, CHARACTER = 13.0, 6.6
"""Points that a line takes upwards and a character sideways: generous, since the reader's font is not known."""
STEPS = (0.0, LINE, -LINE, 2 * LINE, -2 * LINE, 3 * LINE, -3 * LINE, 4 * LINE, -4 * LINE)
GAPS = (9.0, 20.0, 32.0)


@dataclass(frozen=True)
class Box:
    left: float
    low: float
    right: float
    high: float

    def overlaps(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.low < other.high and other.low < self.high

    def inside(self, other: Box) -> bool:
        across = other.left <= self.left and self.right <= other.right
        return across and other.low <= self.low and self.high <= other.high


@dataclass(frozen=True)
class Mark:
    """A point at (x, y) whose interval reaches from `low` to `high`, all in points of the page."""

    x: float
    y: float
    low: float
    high: float
    text: str

    def boxes(self) -> tuple[Box, Box]:
        """What the marker and its interval cover."""
        bar = Box(self.x - 4, min(self.low, self.high), self.x + 4, max(self.low, self.high))
        return Box(self.x - 6, self.y - 6, self.x + 6, self.y + 6), bar


@dataclass(frozen=True)
class Spot:
    """Offset of a name from its point: `dx` to its near edge, `dy` to its middle. A negative `dx` is to the left."""

    dx: float
    dy: float

    @property
    def far(self) -> bool:
        """Whether a line must lead from the name to its point."""
        return bool(self.dy) or abs(self.dx) > GAPS[0]

    def crossed(self, mark: Mark, taken: list[Box]) -> int:
        """How many of `taken` lie on the level way from the mark to its name; none where that is higher or lower."""
        if self.dy:
            return 0
        start, near = mark.x + math.copysign(7, self.dx), mark.x + self.dx
        way = Box(min(start, near), mark.y - 1, max(start, near), mark.y + 1)
        return sum(map(way.overlaps, taken))

    def box(self, mark: Mark) -> Box:
        near = mark.x + self.dx
        far = near + CHARACTER * (len(mark.text) + 1) * (1 if self.dx > 0 else -1)
        middle = mark.y + self.dy
        return Box(min(near, far), middle - LINE / 2, max(near, far), middle + LINE / 2)


def place(marks: list[Mark], frame: Box, lines: list[Box]) -> list[Spot]:
    """A spot for each mark, inside `frame`: the nearest free one, off `lines`, or that which covers least where none is free."""
    taken = [box for mark in marks for box in mark.boxes()]
    spots: dict[int, Spot] = {}
    for index in sorted(range(len(marks)), key=lambda i: (-marks[i].y, marks[i].x)):
        names = [spot.box(marks[other]) for other, spot in spots.items()]
        spots[index] = _best(marks[index], names, taken, lines, frame)
    return [spots[index] for index in range(len(marks))]


def _best(mark: Mark, names: list[Box], taken: list[Box], lines: list[Box], frame: Box) -> Spot:
    """Two names one on the other cannot be read, and one behind another's mark is taken for its own; a line can be borne."""

    def covered(spot: Spot) -> tuple[int, int]:
        box = spot.box(mark)
        return sum(map(box.overlaps, names)) + spot.crossed(mark, taken), sum(map(box.overlaps, [*taken, *lines]))

    inside = [spot for spot in _spots() if spot.box(mark).inside(frame)]
    return min(inside, key=covered, default=Spot(GAPS[0], 0))


def _spots() -> Iterator[Spot]:
    """Every spot, nearest first, and to the right before to the left."""
    spots = [Spot(side * gap, dy) for dy in STEPS for gap in GAPS for side in (1, -1)]
    yield from sorted(spots, key=lambda spot: abs(spot.dx) + abs(spot.dy))
