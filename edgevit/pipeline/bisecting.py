"""Where an artifact parts from its checkpoint, or from another artifact of that."""

from __future__ import annotations

import tempfile
from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import stage
from edgevit.errors import BadInput
from edgevit.pipeline.recheck import source_of
from edgevit.types import Artifact, Bisected, Checkpoint, Input, Progress, Sided


def bisect(first: Path, second: Path | None, picture: Path | None, force: bool, progress: Progress) -> Bisected:
    """The artifact `first`, or both, beside what they were converted from. `second` may be the checkpoint, if it was moved.

    Raises BadInput where neither is an artifact, or where they cannot be compared, NoRuntime where nothing here shows values.
    """
    sides, given = _meant(first, second)
    if picture:
        _require_place(picture, force)
    source = source_of(sides[0], given)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        streams = [Path(scratch) / f"{number}.safetensors" for number in range(len(sides))]
        made = [_beside(a, source, sides[0].folder, into, progress) for a, into in zip(sides, streams, strict=True)]
        found = Bisected(tuple(made)) if len(made) == 1 else _apart(made, streams, progress)
    if picture:
        stage.run("edgevit.jobs.bisect:draw", str, progress, found=found, file=picture)
    return found


def _require_place(picture: Path, force: bool) -> None:
    if not picture.parent.is_dir():
        raise BadInput(f"no folder {picture.parent} for {picture.name}")
    if picture.is_dir() or (picture.exists() and not force):
        raise BadInput(f"already exists: {picture}", "--force replaces a picture")


def _meant(first: Path, second: Path | None) -> tuple[list[Artifact], Path | None]:
    """The artifacts among both, and the checkpoint that was named."""
    paths = [path for path in (first, second) if path]
    made = [path for path in paths if (path / artifacts.RECORD).is_file()]
    if not made:
        raise BadInput(f"no artifact in {' or '.join(map(str, paths))}", "edgevit eval compares what checkpoints answer")
    sides = [artifacts.verify(artifacts.read(path)) for path in made]
    for side in sides:
        artifacts.model_file(side)
        if side.input is Input.PIXELS:
            raise BadInput(f"{side.folder} takes pixels and gives probabilities", "bisect that of --input tensor")
        targets.require(targets.get(side.target))
    if len(sides) == 2:
        _require_comparable(*sides)
    return sides, next((checkpoints.find(path) for path in paths if path not in made), None)


def _require_comparable(one: Artifact, other: Artifact) -> None:
    both = f"{one.folder} and {other.folder}"
    if one.checkpoint_sha256 != other.checkpoint_sha256:
        raise BadInput(f"not of one checkpoint: {both}", "the blocks of two models have nothing to do with each other")
    if one.merges != other.merges:
        raise BadInput(f"they merge other patches: {both}", "their tokens are not the same")


def _beside(artifact: Artifact, source: Checkpoint, golden: Path, into: Path, progress: Progress) -> Sided:
    arguments = {"artifact": artifact, "checkpoint": source.folder, "golden": golden, "into": into}
    return stage.run("edgevit.jobs.bisect:beside_twin", Sided, progress, **arguments).value


def _apart(sides: list[Sided], streams: list[Path], progress: Progress) -> Bisected:
    names = [stage.name for stage in sides[0].stages]
    arguments = {"first": streams[0], "second": streams[1], "names": names}
    found = stage.run("edgevit.jobs.bisect:apart", list[float | None], progress, **arguments).value
    return Bisected(tuple(sides), tuple(found), sum(side.tolerance for side in sides))
