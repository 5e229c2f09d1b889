"""The stories of trainings, read: while they go on, when they are over, or after they were stopped. Needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit.errors import BadInput
from edgevit.training.watching import kept, story
from edgevit.training.watching.watcher import title
from edgevit.types import Course


def read(run: Path) -> Course:
    """The story of the run in a folder, or of the one that a checkpoint in its `best` or `last` is of.

    Raises BadInput where there is none, DamagedFile where there is one that cannot be read.
    """
    folder = run.parent if run.name in ("best", "last") and (run.parent / story.LINES).is_file() else run
    rows = tuple(story.read(folder / story.LINES))
    if not rows:
        raise BadInput(f"no story of a training in {run}", f"edgevit train writes {story.LINES} there after its first epoch")
    whole = (folder / "best" / checkpoints.RECORD).is_file()
    best = checkpoints.read(folder / "best") if whole else None
    return Course(title(folder), folder, rows, best, kept.read(folder))


def read_all(runs: Sequence[Path]) -> tuple[Course, ...]:
    """The same of several, each with a name of its own: the path that was given, where two folders are called the same."""
    found = [read(run) for run in runs]
    names = [course.name for course in found]
    return tuple(
        dataclasses.replace(course, name=str(run)) if names.count(course.name) > 1 else course
        for run, course in zip(runs, found, strict=True)
    )
