"""Writing the report of a search."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from edgevit.errors import EdgevitError
from edgevit.interval import wilson
from edgevit.training.images import choose
from edgevit.types import Ending, Progress, Sweep
from edgevit.versions import machine, versions


def write(found: Sweep, out: Path, dev: float, progress: Progress) -> Sweep:
    """Write the report into the folder `out`, with what this machine is and how far the best figure may be from the truth.

    `dev` is the share of the training images that the trials were judged on.
    """
    from edgevit.folder import files_written_whole
    from edgevit.report import sweep

    progress("writing the report of the search", 0, 1)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    whole = dataclasses.replace(_judged(found, dev), made=now, machine=machine(), versions=versions("torch", "numpy", "optuna"))
    with files_written_whole(out) as partial:
        sweep.write(whole, partial)
    progress("writing the report of the search", 1, 1)
    return whole


def _judged(found: Sweep, dev: float) -> Sweep:
    """How many images there were, and the interval of the best on them; nothing where they cannot be found any more."""
    try:
        images = len(choose(dataclasses.replace(found.train, dev=dev)).held_out)
    except EdgevitError:
        return found
    best = next((trial.top1 for trial in found.trials if trial.number == found.best), None)
    if best is None:
        return dataclasses.replace(found, judged_on=images)
    low, high = wilson(best, images)
    near = sum(t.ending is Ending.DONE and t.number != found.best and t.top1 is not None and low <= t.top1 for t in found.trials)
    return dataclasses.replace(found, judged_on=images, low=low, high=high, near=near)
