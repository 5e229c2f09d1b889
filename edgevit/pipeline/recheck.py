"""An artifact that exists, checked again."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import stage
from edgevit.errors import BadInput
from edgevit.pipeline.export import Stopped, delegated, outcome, run_check, with_result
from edgevit.types import Artifact, Checkpoint, DataChoice, Outcome, Progress


def check(path: Path, checkpoint: Path | None, data: str | None, split: str, on_bad: str, progress: Progress) -> Artifact:
    """The artifact at `path`, verified, and checked again beside its checkpoint. Nothing in it is changed."""
    artifact = artifacts.verify(artifacts.read(path))
    targets.require_recipe(targets.get(artifact.target), artifact.recipe)
    targets.require(targets.get(artifact.target))
    source = _source(artifact, checkpoint)
    chosen = DataChoice(data or artifact.data, split, on_bad)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        references = Path(scratch)
        stage.run("edgevit.jobs.export:reference", int, progress, checkpoint=source.folder, data=chosen, into=references)
        try:
            with outcome(Outcome.RUN_FAILED):
                result = run_check(artifact, references, chosen, source.folder, progress)
        except Stopped as stopped:
            return dataclasses.replace(artifact, outcome=stopped.outcome, reason=stopped.error.message)
    checked = with_result(dataclasses.replace(artifact, data=chosen.spec), result)
    return delegated(checked, targets.get(artifact.target))


def _source(artifact: Artifact, given: Path | None) -> Checkpoint:
    """The checkpoint that an artifact was made from. Raises BadInput where it is not there, or not the same any more."""
    path = given or artifact.folder / artifact.checkpoint
    try:
        source = checkpoints.read(path)
    except BadInput as error:
        raise BadInput(f"the checkpoint of {artifact.folder} is not at {path}", "--checkpoint says where it is") from error
    if source.weights_sha256 != artifact.checkpoint_sha256:
        raise BadInput(f"{path} is not the checkpoint that {artifact.folder} was made from", "export again, or give --checkpoint")
    return source


def artifact_folders(paths: list[Path]) -> list[Path]:
    """Artifacts, each named itself or by the folder that holds several. Raises BadInput where a path is neither."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p.parent for p in path.glob(f"*/{artifacts.RECORD}")) if path.is_dir() else []
        if not inside and not (path / artifacts.RECORD).is_file():
            raise BadInput(f"no artifact in {path}", f"expected a folder with {artifacts.RECORD}, as edgevit export makes it")
        found += [path] if (path / artifacts.RECORD).is_file() else inside
    return list(dict.fromkeys(found))


def read_artifact(path: Path) -> Artifact:
    """The record of a whole artifact."""
    return artifacts.verify(artifacts.read(path))
