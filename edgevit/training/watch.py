"""The one seam through which a training is followed: its story in `metrics.jsonl`, and whoever else is asked to watch."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from edgevit import record, versions
from edgevit.training import watching
from edgevit.training.watching import kept
from edgevit.training.watching.aside import Aside
from edgevit.training.watching.story import LINES, Story, read
from edgevit.types import Progress, TrainConfig, Watched, say, silent

__all__ = ["LINES", "Watch", "read"]

PATIENCE = {"finished": 30.0, "failed": 10.0, "stopped": 3.0}
"""Seconds that the watchers may still take when a training is over: whoever stops one wants it to stop."""
FAULTY = 5.0
"""The same, where one has failed already."""


class Watch:
    """Who follows the training in the folder `run`, with those settings, on `machine`. Rows after epoch `keep` are dropped.

    Raises NotInstalled for a watcher that cannot be loaded, and DamagedFile for a story or a `watch.json` that is none. Nothing
    that a watcher does later stops or slows the training: it is said when it happens, and kept for the end. Only a story that
    cannot be written raises OSError.
    """

    def __init__(
        self, run: Path, keep: int, settings: TrainConfig | None = None, progress: Progress = silent, machine: str = ""
    ) -> None:
        settings = settings or TrainConfig(data="")
        self.story, self.progress = Story(run, keep), progress
        goes_on = keep > 0 or bool(self.story.rows)
        self.kept = kept.Kept(run, kept.read(run) if goes_on else Watched(), machine or versions.machine())
        self.others = [self._aside(name, run) for name in settings.watchers]
        for other in self.others:
            other.begin(_plain(settings), keep if goes_on else None)

    @property
    def rows(self) -> list[dict[str, float]]:
        return self.story.rows

    def row(self, metrics: dict[str, float]) -> None:
        """The metrics of an epoch, `epoch` among them; what was not measured is absent."""
        self.story.row(metrics)
        for other in self.others:
            other.row(metrics)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one step of the optimiser, counted over the whole training; the story has those of epochs alone."""
        for other in self.others:
            other.step(step, metrics)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ending = "finished" if kind is None else "failed" if issubclass(kind, Exception) else "stopped"
        for other in self.others:
            other.end(ending)
        began = time.monotonic()
        if self.others:
            self.progress(f"waiting for {', '.join(other.name for other in self.others)}", 0, None)
        for other in self.others:
            patience = min(PATIENCE[ending], FAULTY) if other.fault else PATIENCE[ending]
            if fault := other.wait(began + patience):
                self._fault(other.name, fault)

    def catch_up(self, metrics: dict[str, float]) -> None:
        """Tell what was learned before the run was interrupted, and not yet told."""
        if metrics and (not self.rows or self.rows[-1]["epoch"] < metrics["epoch"]):
            self.row(metrics)

    def _aside(self, name: str, run: Path) -> Aside:
        watcher = watching.load(name, run, self.kept.found.ids.get(name, ""), lambda found: self.kept.id(name, found))
        return Aside(name, watcher, lambda words: self._failed(name, words))

    def _failed(self, name: str, words: str) -> None:
        say(self.progress, f"{name} does not follow the training, which goes on: {words}")
        self._fault(name, words)

    def _fault(self, name: str, words: str) -> None:
        """Keep it for the end. Where the disk is full, the training will find out by itself."""
        try:
            self.kept.fault(name, words)
        except OSError as error:
            say(self.progress, f"{name}: {words}; not kept: {error.strerror}")


def _plain(settings: TrainConfig) -> dict[str, object]:
    """The settings that are known, as names and values; `said` and `watch` are no settings of the model."""
    plain = record.builtins(dataclasses.replace(settings, said=None))
    return {name: value for name, value in plain.items() if value is not None and name not in ("watch", "said") and value != {}}
