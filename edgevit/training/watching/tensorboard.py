"""TensorBoard: its event files in the folder `tensorboard` of the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

FOLDER, STEPS = "tensorboard", "steps"
"""Steps go beside: on going on TensorBoard hides what is from a number on, and epochs and steps have different ones."""


def watcher(run: Path, known: str, keep: Callable[[str], None]) -> Board:
    return Board(run / FOLDER)


class Board:
    def __init__(self, folder: Path) -> None:
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]  # TensorBoard would load it, for 10 s and nothing
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.write = folder, SummaryWriter
        self.epochs: SummaryWriter | None = None
        self.steps: SummaryWriter | None = None

    def begin(self, settings: Mapping[str, object], resumed_from: int | None) -> None:
        self.epochs = self.epochs or self.write(str(self.folder), purge_step=(resumed_from or 0) + 1)

    def row(self, metrics: Mapping[str, float]) -> None:
        assert self.epochs
        for name, value in metrics.items():
            if name != "epoch":
                self.epochs.add_scalar(name, value, int(metrics["epoch"]))
        self.epochs.flush()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps = self.steps or self.write(str(self.folder / STEPS))
        for name, value in metrics.items():
            self.steps.add_scalar(name, value, step)

    def end(self, ending: str) -> None:
        for writer in filter(None, (self.epochs, self.steps)):
            writer.close()
