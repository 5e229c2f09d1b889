"""The artifacts of a road: those that lie there whole, made of the very same, stay as they are; the others are exported."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import targets
from edgevit import app, folder
from edgevit import artifact as artifacts_
from edgevit import cache as caches
from edgevit.errors import EdgevitError
from edgevit.pipeline import calibrating, contents, road, runtimes, taught
from edgevit.pipeline.contents import Contents
from edgevit.pipeline.export import export, relative
from edgevit.pipeline.how import How, now
from edgevit.pipeline.pairs import Pair
from edgevit.pipeline.training import choose_data
from edgevit.types import Artifact, Calibration, Checkpoint, DataChoice, Outcome, Reused, Road
from edgevit.versions import machine, sources

STAGE = "artifact"
LASTING = (Outcome.PASS, Outcome.UNCHECKED, Outcome.UNDELEGATED, Outcome.WRONG_ANSWERS, Outcome.SKIPPED)
"""How the same comes out again; what a stage failed at is tried anew the next time."""


@dataclass(frozen=True)
class Left:
    """What an export left: the contents of the artifact's folder, or, where none was made, its record."""

    made: str
    contents: str
    record: Artifact | None = None


def artifacts(asked: Road, source: Checkpoint, out: Path, how: How) -> tuple[list[Artifact], list[Reused]]:
    """Each artifact of the road at `out`/NAME, in order, and what of it was made before."""
    wanted = road.wanted(asked, source.config)
    data = choose_data(source, asked.data, asked.split, asked.on_bad_image)
    seen = calibrating.choose(source, asked.calibrate, asked.calibration_images, asked.on_bad_image)
    if asked.calibrate is None and asked.calibration_images == Calibration.IMAGES:
        seen = None  # as `export` chooses, and says where it cannot
    keys = _keys(asked, source, data, seen, out, how)
    there = {pair.name: found for pair in wanted if (found := _there(keys(pair), out / pair.name, how))}
    left = [pair for pair in wanted if pair.name not in there]
    fresh = {artifact.name: artifact for artifact in _exported(asked, left, source, data, seen, out, how)}
    for pair in left:
        _keep(keys(pair), fresh[pair.name], how)
    made = [there[pair.name][0] if pair.name in there else fresh[pair.name] for pair in wanted]
    return made, [Reused(name, when) for name, (_, when) in there.items()]


def _exported(
    asked: Road, left: list[Pair], source: Checkpoint, data: DataChoice, seen: Calibration | None, out: Path, how: How
) -> list[Artifact]:
    if not left:
        return []
    if lost := taught.lost(source, [pair.recipe for pair in left]):
        how.say(lost)
    required, made = runtimes.required(asked.runtimes), []
    for artifact in export(source.folder, left, data, out, True, how.progress, how.jobs, how.cache, seen, required):
        how.say(f"{artifact.name}: {artifact.outcome.value}")
        made.append(artifact)
    return made


Keys = Callable[[Pair], str]


def _keys(asked: Road, source: Checkpoint, data: DataChoice, seen: Calibration | None, out: Path, how: How) -> Keys:
    """For each artifact the hash of all that it depends on; empty where that is not known, as of images on the Hub."""
    hashes = Contents(how.cache)
    calibrated = seen or calibrating.choose(source, None, Calibration.IMAGES, asked.on_bad_image)
    origin = taught.origin(source)
    images = hashes.images(data.spec)
    calibration = hashes.images(calibrated.data.spec) if calibrated else "none"
    shared = {
        "stage": STAGE,
        "checkpoint": [dataclasses.replace(one, folder=Path()) if one else None for one in (source, origin)],
        "images": [data, images, calibrated, calibration],
        "runtimes": asked.runtimes,
        "here": [
            sources(),
            _templates(),
            _installed(),
            platform.python_version(),
            machine(),
            os.environ.get("OMP_NUM_THREADS", ""),
        ],
    }

    def key(pair: Pair) -> str:
        if not images or not calibration:
            return ""
        recipe = taught.as_trained(source, pair.recipe, pair.quantization)
        depends = [pair.name, targets.get(pair.target), recipe, pair.merges, pair.input]
        return caches.key({**shared, "artifact": depends, "leads": relative(source.folder, out / pair.name)})

    return key


@once
def _installed() -> dict[str, str]:
    """Every distribution here with its version: artifacts depend on more of them than anybody lists."""
    return {found.name: found.version for found in importlib.metadata.distributions()}


@once
def _templates() -> str:
    """sha256 of what the code in artifacts is written from, which is no source file of Python."""
    return folder.sha256(Path(app.__file__).parent / "templates")


def _there(key: str, path: Path, how: How) -> tuple[Artifact, str] | None:
    """The artifact at `path` if it is what was made under `key`, to the last byte, and when that was."""
    if not (how.cache and key and (left := contents.taken(how.cache, key, Left))):
        return None
    if left.record:
        return left.record, left.made
    if Contents(how.cache).of(path) != left.contents:
        return None
    try:
        return artifacts_.read(path), left.made
    except EdgevitError:
        return None


def _keep(key: str, artifact: Artifact, how: How) -> None:
    if not (how.cache and key and artifact.outcome in LASTING):
        return
    if artifact.file:
        contents.keep(how.cache, key, STAGE, Left(now(), Contents(how.cache).of(artifact.folder)))
    elif artifact.outcome is Outcome.SKIPPED:
        contents.keep(how.cache, key, STAGE, Left(now(), "", artifact))
