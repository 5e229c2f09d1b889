"""One trial of a search: a training in a child, watched epoch by epoch, and every way in which it can end."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edgevit.errors import BadInput, Diverged, StageFailed
from edgevit.pipeline import training
from edgevit.sweeping import space
from edgevit.sweeping.book import Begun, Book
from edgevit.training import watch
from edgevit.types import Ending, Progress, TrainConfig

DEV = 0.1
"""Of the training images, what judges the trials (paper, appendix B.1.1): the held-out ones have no say."""
MEMORY = ("out of memory", "outofmemory", "memoryerror", "can't allocate memory", "sigkill")
"""What is said, by the system or by a library, where memory was not enough."""


class Stopped(Exception):
    """The book says that a trial is not to go on."""


@dataclass(frozen=True)
class Result:
    ending: Ending
    top1: float | None = None
    why: str = ""


class Watched:
    """The progress of a trial, as what it does now is shown; between epochs it is held against the others.

    What stands in the run's own story of its epochs counts, whole lines of it: it is replaced in one step.
    """

    def __init__(self, book: Book, begun: Begun, run: Path, lane: str, progress: Progress) -> None:
        self._book, self._begun, self._lane, self._progress = book, begun, lane, progress
        self._story = run / watch.LINES
        self._looked = 0
        self._told = 0

    def __call__(self, label: str, done: float, total: float | None) -> None:
        self._progress(f"{self._lane}: {label}", done, total)
        if self._begun.lost.is_set() or self._new():
            raise Stopped

    def _new(self) -> bool:
        """Tell the book what is new. Whether it wants no more."""
        try:
            changed = self._story.stat().st_mtime_ns
        except OSError:
            return False
        return changed != self._looked and self.tell(changed)

    def tell(self, changed: int = 0) -> bool:
        """The same, whether or not the story has changed."""
        self._looked = changed
        rows = {int(row["epoch"]): row["val_top1"] for row in watch.read(self._story) if "val_top1" in row and row["epoch"] >= 1}
        new = {epoch: top1 for epoch, top1 in sorted(rows.items()) if epoch > self._told and math.isfinite(top1)}
        self._told = max(rows, default=self._told)
        wants = [self._book.epoch(self._begun, epoch, top1) for epoch, top1 in new.items()]
        return any(wants)


def do(book: Book, begun: Begun, train: TrainConfig, lane: str, progress: Progress) -> None:
    """Do a trial and note how it came out. What stops the whole search gives it back, so that it is begun anew."""
    started = time.monotonic()
    try:
        with book.held(begun):
            found = _known(book, begun) or _result(book, begun, train, lane, progress)
    except BaseException:
        book.give_back(begun)
        raise
    finally:
        progress(f"{lane}: ", 0, 0)
    if not begun.lost.is_set():
        book.end(begun, found.ending, found.top1, time.monotonic() - started, found.why)


def _known(book: Book, begun: Begun) -> Result | None:
    """What the same settings gave before: they would give the same again."""
    for trial in book.trials():
        if trial.ending is Ending.DONE and trial.settings == begun.settings:
            return Result(Ending.DONE, trial.top1, f"not trained: its settings are those of trial {trial.number}")
    return None


def _result(book: Book, begun: Begun, train: TrainConfig, lane: str, progress: Progress) -> Result:
    with tempfile.TemporaryDirectory(prefix="edgevit-trial-") as scratch:
        run = Path(scratch) / "run"
        watched = Watched(book, begun, run, lane, progress)
        try:
            settings = dataclasses.replace(space.settings(train, begun.settings), dev=DEV)
            top1 = training.trained(dataclasses.replace(settings, watch="none"), run, False, watched).metrics["val_top1"]
            watched.tell()
            return Result(Ending.DONE, top1)
        except Stopped:
            return Result(Ending.PRUNED, None, "below the median of the trials before it")
        except Diverged as error:
            return Result(Ending.DIVERGED, None, error.message)
        except StageFailed as error:
            return Result(_failure(error), None, error.message)
        except BadInput as error:
            if not _has_worked(book):  # then it is more likely the data than these settings
                raise
            return Result(Ending.FAILED, None, error.message)


def _failure(error: StageFailed) -> Ending:
    said = error.message.lower()
    return Ending.NO_MEMORY if any(word in said for word in MEMORY) else Ending.FAILED


def _has_worked(book: Book) -> bool:
    return any(trial.epochs or trial.ending is Ending.DONE for trial in book.trials())
