"""The book of a search, as whoever trains sees it: which trial is next, and what came out."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from edgevit.types import Ending, Trial, Value


@dataclass(frozen=True)
class Begun:
    """A trial that this process has to do. `lost` is set where another one took it over, which held this one for dead."""

    number: int
    settings: dict[str, Value]
    key: int = 0
    """By which the book finds it."""
    lost: threading.Event = field(default_factory=threading.Event)


class Book(Protocol):
    def take(self) -> Begun | None:
        """The next trial, which nobody else does; None where there is none to begin now."""
        ...

    def others(self) -> int:
        """How many trials are at work elsewhere."""
        ...

    def held(self, begun: Begun) -> AbstractContextManager[None]:
        """While it is done: lets others know that its process lives."""
        ...

    def epoch(self, begun: Begun, epoch: int, top1: float) -> bool:
        """Note top-1 after an epoch (from 1). Whether the trial is to be stopped."""
        ...

    def end(self, begun: Begun, ending: Ending, top1: float | None, seconds: float, why: str) -> None:
        """Note how it came out. One that was lost is noted by whoever took it."""
        ...

    def give_back(self, begun: Begun) -> None:
        """It was not ended, and is to be begun anew."""
        ...

    def trials(self) -> tuple[Trial, ...]:
        """All that were begun, by number."""
        ...
