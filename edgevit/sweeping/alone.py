"""A book in the memory of one process: a list of points, each done once, in order. It needs no library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from edgevit.sweeping.book import Begun
from edgevit.types import Ending, Trial, Value


class Alone:
    def __init__(self, points: Sequence[dict[str, Value]]) -> None:
        self._left = [Begun(number, dict(point)) for number, point in enumerate(points, start=1)]
        self._trials: dict[int, Trial] = {}
        self._epochs: dict[int, list[float]] = {}

    def take(self) -> Begun | None:
        return self._left.pop(0) if self._left else None

    def others(self) -> int:
        return 0

    @contextlib.contextmanager
    def held(self, begun: Begun) -> Iterator[None]:
        yield

    def epoch(self, begun: Begun, epoch: int, top1: float) -> bool:
        self._epochs.setdefault(begun.number, []).append(top1)
        return False

    def end(self, begun: Begun, ending: Ending, top1: float | None, seconds: float, why: str) -> None:
        epochs = tuple(self._epochs.get(begun.number, ()))
        self._trials[begun.number] = Trial(begun.number, begun.settings, ending, top1, epochs, seconds, why)

    def give_back(self, begun: Begun) -> None:
        self._left.insert(0, begun)

    def trials(self) -> tuple[Trial, ...]:
        return tuple(self._trials[number] for number in sorted(self._trials))
