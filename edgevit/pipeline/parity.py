"""Images by an artifact, stage by stage: training, the artifact's runner, and the code that stands in it for apps."""

from __future__ import annotations

import tempfile
from pathlib import Path

import targets
from edgevit import app, stage
from edgevit import artifact as artifacts
from edgevit.errors import BadInput
from edgevit.pipeline.recheck import source_of
from edgevit.types import Artifact, Checkpoint, Compared, Parity, Progress


def parity(path: Path, images: list[Path], checkpoint: Path | None, progress: Progress) -> Parity:
    """Compare the three on `images`. Code of the artifact is never run: it may come from others. It is written anew from the

    record, looked up there byte for byte, and what was written is run. Raises BadInput where the artifact holds none.
    """
    artifact = artifacts.verify(artifacts.read(path))
    target = targets.get(artifact.target)
    targets.require(target)
    if not target.apps or not (path / app.FOLDER).is_dir():
        raise BadInput(f"no code for apps in {path}", "edgevit export writes it: export again")
    for image in images:
        if not image.is_file():
            raise BadInput(f"no such image: {image}")
    source = _source(artifact, checkpoint)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        made = Path(scratch) / app.FOLDER
        app.write(artifact, target.apps, made)
        changed = app.differing(made, path / app.FOLDER)
        given = {"artifact": artifact, "code": made / app.PYTHON, "images": images, "not_here": target.not_here}
        folder = source.folder if source else None
        found = stage.run("edgevit.jobs.parity:parity", Compared, progress, checkpoint=folder, **given).value
    absent = f"none: no checkpoint at {path / artifact.checkpoint}; --checkpoint says where it is"
    return Parity(str(path), str(source.folder) if source else absent, tuple(changed), found)


def _source(artifact: Artifact, given: Path | None) -> Checkpoint | None:
    """The checkpoint, where it is there. Raises BadInput where another one is."""
    if given is None and not (artifact.folder / artifact.checkpoint).exists():
        return None
    return source_of(artifact, given)
