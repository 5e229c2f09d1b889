"""How work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on. `total` is None where the length is not known; `done == total` ends the line.

    Of several works at once each says "NAME: label", and "NAME: " when it is over.
    """

    def __call__(self, label: str, done: float, total: float | None) -> None: ...


def silent(label: str, done: float, total: float | None) -> None:
    """The Progress of somebody who does not watch."""
