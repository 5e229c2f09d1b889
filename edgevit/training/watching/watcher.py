"""What every watcher of a training does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

STEP = "step/"
"""Before the name of a metric within an epoch: it counts in steps of the optimiser, and the others in epochs."""
ENDINGS = ("finished", "stopped", "failed")


class Watcher(Protocol):
    """It follows one training. Its calls come one after the other, in a thread of their own, and may take long or raise."""

    def begin(self, settings: Mapping[str, object], resumed_from: int | None) -> None:
        """A training with such settings begins, or goes on after the epoch `resumed_from`."""
        ...

    def row(self, metrics: Mapping[str, float]) -> None:
        """The metrics of an epoch, `epoch` among them."""
        ...

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one step of the optimiser, counted over the whole training."""
        ...

    def end(self, ending: str) -> None:
        """The training is over, in one of ENDINGS."""
        ...


def title(run: Path) -> str:
    """What a run is called at a service: its folder, also while it is beside the one that it will replace."""
    return run.resolve().name.removesuffix(".partial") or "run"
