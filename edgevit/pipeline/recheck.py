"""An artifact that exists, checked again."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.data import HUB, lasting
from edgevit.errors import BadInput
from edgevit.pipeline import reuse
from edgevit.pipeline.export import delegated, used, with_result
from edgevit.pipeline.stopped import Stopped, outcome
from edgevit.types import Artifact, Checkpoint, DataChoice, Outcome, Progress
from edgevit.versions import machine


def check(path: Path, checkpoint: Path | None, data: str | None, split: str, on_bad: str, progress: Progress) -> Artifact:
    """The artifact at `path`, verified, and checked again beside its checkpoint. Nothing in it is changed."""
    artifact = artifacts.verify(artifacts.read(path))
    assert artifact.quantization  # of a verified one
    targets.require_recipe(targets.get(artifact.target), artifact.quantization)
    targets.require(targets.get(artifact.target))
    source = source_of(artifact, checkpoint)
    chosen = chosen_images(artifact, data, split, on_bad)
    place = targets.get(artifact.target)
    artifact = dataclasses.replace(
        artifact,
        data=chosen.spec,
        data_sha256="",  # of those that the record was made with, and nobody hashed these
        seal="",
        runtimes=(),  # of when it was exported, too
        runtime=place.runtime,
        machine=machine(),
        versions=used(place),
        tolerance=targets.tolerance(place, artifact.quantization, artifact.merges != source.config.merges),
    )
    origin = origin_of(artifact)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        references, golden = Path(scratch) / "references", Path(scratch) / "golden"
        references.mkdir()
        golden.mkdir()
        stages = reuse.Stages(source, chosen, None, origin=origin)  # without a cache: whoever asks for a check wants one
        stages.reference(references, progress)
        try:
            with outcome(Outcome.RUN_FAILED):
                result = stages.check(artifact, references, golden, progress, None).value
        except Stopped as stopped:
            return _unmeasured(artifact, stopped)
    return delegated(with_result(artifact, result), place)


def chosen_images(artifact: Artifact, data: str | None, split: str, on_bad: str) -> DataChoice:
    """Those that were named, or those that the record names: a path of this machine, and nothing that would be fetched."""
    if data:
        return DataChoice(lasting(data), split, on_bad)
    if artifact.data.startswith(HUB):
        hint = f"--data {artifact.data} says that they may be fetched"
        raise BadInput(f"{artifact.folder} was checked on images of the Hugging Face Hub: {artifact.data}", hint)
    return DataChoice(artifact.data, artifact.split or split if split == "auto" else split, on_bad)


def _unmeasured(artifact: Artifact, stopped: Stopped) -> Artifact:
    """The record without the figures that it held: they are of another time."""
    return dataclasses.replace(
        artifact, outcome=stopped.outcome, reason=stopped.error.message, top1=None, reference_top1=None, agreement=None, images=0,
        skipped=(), relative_error=None, quantization_error=None, paired=None, same_integers=None, where="none",
    )  # fmt: skip


def source_of(artifact: Artifact, given: Path | None) -> Checkpoint:
    """The checkpoint that an artifact was made from. Raises BadInput where it is not there, or not the same any more."""
    path = given or artifact.folder / artifact.checkpoint
    try:
        source = checkpoints.read(path)
    except BadInput as error:
        raise BadInput(f"the checkpoint of {artifact.folder} is not at {path}", "--checkpoint says where it is") from error
    if source.weights_sha256 != artifact.checkpoint_sha256:
        raise BadInput(f"{path} is not the checkpoint that {artifact.folder} was made from", "export again, or give --checkpoint")
    return source


def origin_of(artifact: Artifact) -> Checkpoint | None:
    """The checkpoint that its answers are compared with instead. Raises BadInput where it is not there, or another one."""
    if not artifact.origin:
        return None
    path = artifact.folder / artifact.origin
    try:
        found = checkpoints.read(path)
    except BadInput as error:
        hint = "put it back there, or export again: answers are then compared with the checkpoint's own floats"
        raise BadInput(f"the origin of {artifact.folder} is not at {path}", hint) from error
    if found.weights_sha256 != artifact.origin_sha256:
        raise BadInput(f"{path} is not the origin that {artifact.folder} was compared with", "export again")
    return found


def artifact_folders(paths: list[Path]) -> list[Path]:
    """Artifacts, each named itself or by the folder that holds several. Raises BadInput where a path is neither."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p.parent for p in path.glob(f"[!.]*/{artifacts.RECORD}")) if path.is_dir() else []
        if not inside and not (path / artifacts.RECORD).is_file():
            raise BadInput(f"no artifact in {path}", f"expected a folder with {artifacts.RECORD}, as edgevit export makes it")
        found += [path] if (path / artifacts.RECORD).is_file() else inside
    return list(dict.fromkeys(found))


def read_artifact(path: Path) -> Artifact:
    """The record of a whole artifact."""
    return artifacts.verify(artifacts.read(path))
