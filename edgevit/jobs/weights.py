"""Weights of others into a checkpoint, and a checkpoint into a folder that others read."""

from __future__ import annotations

import importlib
from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit import folder, record
from edgevit.types import Checkpoint, Progress
from edgevit.versions import versions
from edgevit.vit.foreign.asked import Asked
from edgevit.vit.foreign.exported import MARKER, WeightExport


def import_weights(source: str, asked: Asked, out: Path, force: bool, progress: Progress) -> Checkpoint:
    """A checkpoint in the folder `out` from a weight file, its folder, or a name on the Hub."""
    from edgevit.vit.foreign import hub
    from edgevit.vit.foreign.bring import bring
    from edgevit.vit.foreign.files import opened
    from edgevit.vit.model import ViT

    path, origin = hub.downloaded(source, progress) if hub.means(source) else (Path(source), str(Path(source).resolve()))
    progress(f"reading {origin}", 0, None)
    found = bring(opened(path, origin), asked)
    settled = found.settled
    model = ViT(settled.config)
    model.load_state_dict(found.tensors)
    made = Checkpoint(
        settled.config, settled.preprocess, settled.labels, {}, "", versions("torch", "numpy"), source=settled.source
    )
    progress(f"writing {out}", 0, None)
    with folder.written_whole(out, checkpoints.RECORD, force) as partial:
        checkpoints.save(partial, model, made)
    return checkpoints.read(out)


def export_weights(checkpoint: Path, format: str, out: Path, force: bool, progress: Progress) -> WeightExport:
    """The checkpoint's weights in the folder `out`, by the names and with the configs of `format`."""
    made, model = checkpoints.load(checkpoint)
    progress(f"writing {out}", 0, None)
    written = importlib.import_module(f"edgevit.vit.foreign.to_{format}").written(model, made)
    with folder.written_whole(out, MARKER, force) as partial:
        checkpoints.write_tensors(written.tensors, partial / checkpoints.WEIGHTS)
        for name, value in written.files.items():
            record.write(partial / name, value)
        report = WeightExport(format, made.weights_sha256, folder.sha256(partial / checkpoints.WEIGHTS), written.notes)
        record.write(partial / MARKER, report)
    return record.read(out / MARKER, WeightExport)
