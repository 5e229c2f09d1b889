"""Where a training run lives, and which run --resume goes on with. Needs no torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit import folder, record
from edgevit.errors import BadInput, DamagedFile
from edgevit.training import watch
from edgevit.training.position import Position
from edgevit.training.watching import kept
from edgevit.types import Checkpoint, TrainConfig
from edgevit.types.sweep import SWEPT

STATE = "training.safetensors"
"""Beside the weights of `last`: what else a run needs to go on."""
POSITION = "position.json"
"""Also there: how far it is."""
LAST, BEFORE, BEST = "last", "before", "best"
"""The checkpoints of a run. `before` is the one before the last, for the day on which that is damaged."""
CHECKPOINT = {checkpoints.WEIGHTS, checkpoints.RECORD, checkpoints.QUANTIZED}
CURVES, PAGE = "curves.png", "training.html"
"""What is drawn of a training, while it goes on and when it is over."""
BEGUN = ("tensorboard", kept.FILE)
"""What a run leaves that was stopped in its first epoch, besides parts of files."""
OURS = {
    BEST: CHECKPOINT,
    LAST: CHECKPOINT | {STATE, POSITION},
    BEFORE: CHECKPOINT | {STATE, POSITION},
    "tensorboard": None,
    kept.FILE: None,
    CURVES: None,
    PAGE: None,
    watch.LINES: None,
    Path(watch.LINES).with_suffix(".partial").name: None,
    **dict.fromkeys(SWEPT),
}
"""What training leaves in the folder of a run, and in the folders of it; None for anything. A search leaves how it was chosen."""


def place(out: Path, force: bool) -> Path:
    """Where a new run is made: at `out`, or beside it while an older run there stays whole. Raises BadInput."""
    if not out.exists() or _hardly_begun(out):
        folder.refuse_existing(out / "last", checkpoints.RECORD, force)
        return out
    _refuse(out, force)
    beside = _beside(out)
    if beside.exists() and not _hardly_begun(beside):
        _refuse(beside, force)
    shutil.rmtree(beside, ignore_errors=True)
    return beside


def _beside(out: Path) -> Path:
    """Where `out` may be a link, beside what it leads to: there it can be exchanged in one step."""
    return out.resolve().with_name(out.resolve().name + ".partial")


def _hardly_begun(run: Path) -> bool:
    """Whether a folder is empty, or holds no more than a run leaves that was stopped in its first epoch."""
    partial = (".last.*.partial", f".{kept.FILE}.partial")
    return run.is_dir() and all(p.name in BEGUN or any(map(p.match, partial)) for p in run.iterdir())


def _strangers(run: Path) -> list[str]:
    """What training did not make, and a new run would take away with the old one: exports, notes."""
    inside = [path for path in run.iterdir() if not path.match(".*.partial") and not path.match(".*.previous")]
    found = [path for path in inside if path.name not in OURS]
    found += [file for path in inside if (known := OURS.get(path.name)) for file in path.iterdir() if file.name not in known]
    return sorted(path.relative_to(run).as_posix() for path in found)


def refuse_loss(out: Path) -> None:
    """Raise BadInput where the run at `out` cannot be replaced without the loss of what training did not make."""
    if out.is_dir() and (strangers := _strangers(out)):
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        raise BadInput(
            f"not replaced, since {out} holds more than a run, which would be lost: {', '.join(strangers[:3])}{more}",
            "move it elsewhere, or choose another --out",
        )


def _refuse(out: Path, force: bool) -> None:
    if not out.is_dir():
        raise BadInput(f"not a folder: {out}", "choose another --out")
    ours = any((out / name / checkpoints.RECORD).exists() for name in ("best", "last"))
    if not ours:
        raise BadInput(f"not replaced, since it holds no run of edgevit: {out}", "choose another --out")
    if not force:
        raise BadInput(f"already exists: {out}", "--resume goes on with it; --force replaces it when the new one is whole")
    refuse_loss(out)


def unfinished(out: Path) -> tuple[Path, TrainConfig]:
    """The run that --resume goes on with, and its settings. Raises BadInput where there is none, or nothing is left to do."""
    for run in (_beside(out), out):
        if (run / "last" / checkpoints.RECORD).exists():
            last = checkpoints.read(run / "last")
            if last.train is None:
                raise DamagedFile(f"{last.folder}: no settings of a training", "edgevit train did not make it")
            if last.train.epochs and run == out and _told(run) >= last.train.epochs:
                raise BadInput(f"nothing left to resume: {out} has all its {last.train.epochs} epochs")
            return run, last.train
    raise BadInput(f"nothing to resume in {out}", "no epoch was finished there; train without --resume")


def mend(out: Path) -> str:
    """Where the last checkpoint of the run at `out` is damaged, put the one before it in its place; what is to be said of that.

    Raises DamagedFile where neither is whole.
    """
    for run in (_beside(out), out):
        if os.path.lexists(run / LAST) and (wrong := damage(run / LAST)):
            if not os.path.lexists(run / BEFORE) or (also := damage(run / BEFORE)):
                hint = f"the one before it is too: {also}" if os.path.lexists(run / BEFORE) else "there is none before it"
                raise DamagedFile(f"the last checkpoint is damaged: {wrong}", hint)
            folder.put_in_place(run / BEFORE, run / LAST)
            return f"the last checkpoint is damaged ({wrong}); going on from the one before it"
        if os.path.lexists(run / LAST):
            return ""
    return ""


def damage(last: Path) -> str:
    """What is wrong with a checkpoint that a run is to go on from, by the hashes of its files; nothing where it is whole."""
    try:
        known, position = checkpoints.read(last), record.read(last / POSITION, Position)
        hashes = {checkpoints.WEIGHTS: known.weights_sha256, STATE: position.state_sha256}
        if known.quantized_sha256:
            hashes[checkpoints.QUANTIZED] = known.quantized_sha256
        for name, sha256 in hashes.items():
            if not (last / name).is_file():
                return f"no {name}"
            if folder.sha256(last / name) != sha256:
                return f"{name} is not what was written"
    except BadInput as error:
        return error.message
    return ""


def _told(run: Path) -> float:
    """The last epoch in the story of a run. It is written after the checkpoints: an epoch that stands there is whole."""
    path = run / watch.LINES
    try:
        return max((row["epoch"] for row in watch.read(path)), default=0)
    except KeyError as error:
        raise DamagedFile(f"{path}: no lines of metrics", "edgevit train did not make it") from error


def metric(checkpoint: Checkpoint, name: str) -> float:
    try:
        return checkpoint.metrics[name]
    except KeyError:
        raise DamagedFile(f"{checkpoint.folder}: no {name} among its metrics", "edgevit train did not make it") from None
