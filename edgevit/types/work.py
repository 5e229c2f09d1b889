"""How work tells how far it is."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Protocol

SAID, MARKED, PART = "\x02", "\x03", "\x1f"
"""Within a label: what is said aloud, what is a mark on a long way, and between the parts of a `Label`. No name holds them."""


class Progress(Protocol):
    """Called as work goes on. `total` is None where the length is not known; `done == total` ends the line.

    Of several works at once each says "NAME: label", and "NAME: " when it is over. A label may be the text of a `Label`.
    """

    def __call__(self, label: str, done: float, total: float | None) -> None: ...


def silent(label: str, done: float, total: float | None) -> None:
    """The Progress of somebody who does not watch."""


@dataclass(frozen=True)
class Label:
    """What a long work is called, a `detail` that changes while it goes on, and the seconds that are left where it knows."""

    work: str
    detail: str = ""
    left: float | None = None

    def __str__(self) -> str:
        return PART.join((self.work, self.detail, "" if self.left is None else f"{self.left:.1f}"))


def read_label(text: str) -> Label:
    """The Label of a text. One that is plain is all the work's name."""
    work, _, rest = text.partition(PART)
    detail, _, left = rest.partition(PART)
    with contextlib.suppress(ValueError):
        if math.isfinite(float(left)):
            return Label(work, detail, float(left))
    return Label(work, detail)


def say(progress: Progress, text: str) -> None:
    """A warning that whoever watches has to see at once, whatever else is shown: a line of its own."""
    progress(f"{SAID}{text}", 1, 1)


def mark(progress: Progress, text: str) -> None:
    """A step of a long work that is behind: a line where no bar moves."""
    progress(f"{MARKED}{text}", 1, 1)
