"""What a checkpoint sees, and its evaluation in pictures."""

from __future__ import annotations

import os
from pathlib import Path

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import stage
from edgevit.errors import BadInput
from edgevit.types import Checkpoint, DataChoice, EvalResult, Inside, Progress

EXPLAINED = ("explain.json", "arrays.npz", "filters.png", "positions.png", "distance.png", "attention-01.png")
EVALUATED = ("evaluation.json", "confusion.png", "reliability.png")
REPORTED = ("report.html", "report.md", "report.json")
"""What the commands write, record first."""


def explain(
    model: Path, images: list[Path], data: str | None, split: str, on_bad: str, out: Path, force: bool, progress: Progress
) -> Inside:
    """Filters, positions and attention distance of a checkpoint, and the attention to `images`, as pictures and figures in `out`.

    `data` says over which images attention distance is averaged; by default those that the checkpoint was trained from, or else
    the `images`. Raises BadInput for an artifact, which has no attention to look at.
    """
    _refuse_artifact(model)
    checkpoint = checkpoints.read(model)
    for image in images:
        if not image.is_file():
            raise BadInput(f"no such image: {image}")
    refuse_written(out, EXPLAINED, force)
    choice = _choice(checkpoint, data, split, on_bad)
    arguments = {"checkpoint": checkpoint.folder, "images": images, "data": choice, "out": out}
    return stage.run("edgevit.jobs.look:explain", Inside, progress, **arguments).value


def _refuse_artifact(model: Path) -> None:
    if (model / artifacts.RECORD).is_file():
        artifact = artifacts.read(model)
        source = os.path.relpath((artifact.folder / artifact.checkpoint).resolve())
        raise BadInput(f"an artifact has no attention to look at: {model}", f"its checkpoint has: edgevit explain {source}")


def refuse_written(out: Path, names: tuple[str, ...], force: bool) -> None:
    """Raise BadInput where `out` is no folder, or holds a file of such a name already, whoever made it."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"not a folder: {out}", "choose another --out")
    there = [name for name in names if (out / name).exists()]
    if there and not force:
        raise BadInput(f"already exists: {out / there[0]}", "--force replaces it when the new one is whole")


def _choice(checkpoint: Checkpoint, data: str | None, split: str, on_bad: str) -> DataChoice | None:
    """None where no images are known: others trained the checkpoint, and nobody named any."""
    spec = data or (checkpoint.train.data if checkpoint.train else "")
    return DataChoice(spec, split, on_bad) if spec else None


def refuse_evaluated(out: Path, force: bool) -> None:
    """Raise BadInput where `out` holds an evaluation already, or is no folder: that is better known before the work."""
    refuse_written(out, EVALUATED, force)


def refuse_reported(out: Path, force: bool) -> None:
    """The same of a report."""
    refuse_written(out, REPORTED, force)


def draw_evaluation(found: EvalResult, out: Path, progress: Progress) -> list[Path]:
    """Write an evaluation's figures and pictures into `out`: the files."""
    files = stage.run("edgevit.jobs.look:draw_evaluation", list[str], progress, found=found, out=out).value
    return [out / file for file in files]
