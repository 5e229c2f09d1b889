"""Weights & Biases. Account, project, name, folder and mode are said by its own variables, WANDB_PROJECT and so on.

Settings and metrics are sent, and what the machine is busy with; no code, no images, no weights, no name of the machine.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgevit.training.watching.watcher import STEP, title

PROJECT = "edgevit"


def watcher(run: Path, known: str, keep: Callable[[str], None]) -> WandB:
    return WandB(title(run), known, keep)


class WandB:
    """`known` is the id of the run that goes on; `keep` is told that of a new one."""

    def __init__(self, name: str, known: str, keep: Callable[[str], None]) -> None:
        import wandb

        self.wandb, self.name, self.known, self.keep = wandb, name, known, keep
        self.run: Any = None
        self.counted: set[str] = set()

    def begin(self, settings: Mapping[str, object], resumed_from: int | None) -> None:
        if self.run is not None:
            return
        self.known = self.known or os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12]
        self.keep(self.known)
        quiet = self.wandb.Settings(
            console="off",
            silent=True,
            save_code=False,
            disable_git=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        project, name = os.environ.get("WANDB_PROJECT") or PROJECT, os.environ.get("WANDB_NAME") or self.name
        self.run = self.wandb.init(
            project=project,
            name=name,
            id=self.known,
            resume="allow",
            config=dict(settings),
            allow_val_change=True,
            settings=quiet,
        )

    def row(self, metrics: Mapping[str, float]) -> None:
        self._count(metrics, "epoch")
        self.run.log(dict(metrics))

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        named = {f"{STEP}{name}": value for name, value in metrics.items()}
        self._count(named, f"{STEP}number")
        self.run.log({**named, f"{STEP}number": step})

    def _count(self, names: Mapping[str, float], by: str) -> None:
        """Let these be drawn over epochs or over steps, and not over the calls that were made."""
        for name in [name for name in names if name not in self.counted and name != by]:
            self.run.define_metric(name, step_metric=by)
            self.counted.add(name)

    def end(self, ending: str) -> None:
        self.run.summary["ending"] = ending
        self.run.finish(exit_code=0 if ending == "finished" else 1)
