"""Weights of others, in and out."""

from __future__ import annotations

from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit import folder, stage
from edgevit.errors import UnknownName
from edgevit.types import Checkpoint, Progress
from edgevit.vit.foreign import EXPORTS
from edgevit.vit.foreign.asked import Asked
from edgevit.vit.foreign.exported import MARKER, WeightExport


def import_weights(source: str, asked: Asked, out: Path, force: bool, progress: Progress) -> Checkpoint:
    """A checkpoint at `out` from the weights that `source` means: a path, or owner/name on the Hugging Face Hub."""
    folder.refuse_existing(out, checkpoints.RECORD, force)
    arguments = {"source": source, "asked": asked, "out": out, "force": force}
    stage.run("edgevit.jobs.weights:import_weights", Checkpoint, progress, **arguments)
    return checkpoints.read(out)


def export_weights(checkpoint: Path, format: str, out: Path, force: bool, progress: Progress) -> WeightExport:
    """The checkpoint's weights in the folder `out`, as `format` names them. Raises UnknownName."""
    if format not in EXPORTS:
        raise UnknownName("weight format", format, EXPORTS)
    folder.refuse_existing(out, MARKER, force)
    arguments = {"checkpoint": checkpoints.find(checkpoint), "format": format, "out": out, "force": force}
    return stage.run("edgevit.jobs.weights:export_weights", WeightExport, progress, **arguments).value
