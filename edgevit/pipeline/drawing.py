"""The curves of trainings: of several over each other, and of one while it goes on and when it is over."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from edgevit import stage
from edgevit.errors import BadInput, EdgevitError
from edgevit.stage import Children
from edgevit.training import courses, run_settings
from edgevit.types import Course, Progress, say, silent
from edgevit.types.work import MARKED

JOB = "edgevit.jobs.curves:draw"
MOST = 8
"""Runs in one picture: as many as there are colours that can be told apart."""
LIMIT = 120.0
"""Seconds for the child that draws; it takes one or two."""
EVERY, SHARE = 30.0, 60.0
"""Seconds between two drawings while a training goes on, and how often the last one's time at least."""


def curves(
    runs: Sequence[Path], picture: Path | None, page: Path | None, dark: bool, force: bool, progress: Progress
) -> list[Course]:
    """The stories of the runs, drawn into `picture` and `page` where they are asked for. Raises BadInput, DamagedFile."""
    if len(runs) > MOST:
        raise BadInput(f"{len(runs)} runs over each other cannot be told apart", f"take {MOST} at most")
    for file, suffix in ((picture, ".png"), (page, ".html")):
        if file:
            _refuse(file, suffix, force)
    found = list(courses.read_all(runs))
    if picture or page:
        stage.run_within(LIMIT, JOB, type(None), progress, runs=tuple(runs), picture=picture, page=page, dark=dark)
    return found


def course(run: Path) -> Course:
    """The story of a run. Raises BadInput, DamagedFile."""
    return courses.read(run)


def _refuse(file: Path, suffix: str, force: bool) -> None:
    """Raise BadInput where a file cannot go."""
    if file.suffix.lower() != suffix:
        raise BadInput(f"not a name of that kind of file: {file}", f"its name ends in {suffix}")
    if not file.parent.is_dir():
        raise BadInput(f"no folder {file.parent} for {file.name}")
    if file.is_dir() or (file.exists() and not force):
        raise BadInput(f"already exists: {file}", "--force replaces it when the new one is whole")


def drawn(run: Path, progress: Progress) -> None:
    """Leave picture and page of a training that is over in its folder. Where that fails, it is said: the model is whole."""
    progress("drawing the curves", 0, None)
    files = {"picture": run / run_settings.CURVES, "page": run / run_settings.PAGE}
    try:
        stage.run_within(LIMIT, JOB, type(None), silent, runs=(run,), dark=False, **files)
    except EdgevitError as error:
        say(progress, f"the curves were not drawn: {error.message}")


class Sketch:
    """A Progress that has the picture of a run drawn anew as its epochs pass, in a child beside the training.

    Not more often than every EVERY seconds, and so that it takes at most one part in SHARE of the time. One that fails is let be:
    the last is drawn when the training is over.
    """

    def __init__(self, run: Path, progress: Progress) -> None:
        self.run, self.progress, self.children = run, progress, Children(LIMIT)
        self.next = time.monotonic() + EVERY
        self.thread: threading.Thread | None = None

    def __call__(self, label: str, done: float, total: float | None) -> None:
        self.progress(label, done, total)
        busy = self.thread is not None and self.thread.is_alive()
        if MARKED in label and not busy and time.monotonic() >= self.next:
            self.thread = threading.Thread(target=self._draw, name="curves", daemon=True)
            self.thread.start()

    def _draw(self) -> None:
        began = time.monotonic()
        files = {"picture": self.run / run_settings.CURVES, "page": None}
        with contextlib.suppress(EdgevitError, OSError, KeyboardInterrupt):  # the last is how Children says that it was stopped
            self.children.run(JOB, type(None), silent, runs=(self.run,), dark=False, **files)
        took = time.monotonic() - began
        self.next = time.monotonic() + max(EVERY, SHARE * took)

    def stop(self) -> None:
        """Nothing is drawn any more once this returns."""
        self.children.stop()
        if self.thread:
            self.thread.join()
