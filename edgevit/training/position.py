"""Where a run stands, as its last checkpoint says beside the weights. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Learned:
    """So many batches of the present epoch, by so many workers. A run that goes on with other workers has several."""

    workers: int
    batches: int


@dataclass(frozen=True)
class Position:
    """In epoch `epoch`, counted from 1, of which the batches in `learned` are done: none of a new one.

    `seen` images of it had losses whose sum is `loss`. `state_sha256` is the hash of what else the run needs to go on.
    """

    epoch: int
    learned: tuple[Learned, ...] = ()
    seen: int = 0
    loss: float = 0.0
    state_sha256: str = ""

    @property
    def batches(self) -> int:
        return sum(part.batches for part in self.learned)
