"""What each rewrite of an artifact gives, by converting it again without that one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import stage
from edgevit.errors import BadInput, EdgevitError
from edgevit.pipeline.recheck import source_of
from edgevit.types import Artifact, BenchRules, Delegation, Gain, Gains, Outcome, Progress, silent


def gains(path: Path, checkpoint: Path | None, rules: BenchRules, progress: Progress) -> Gains:
    """The artifact without each of its rewrites in turn, measured on this machine beside it.

    Raises BadInput for one that this machine would not measure, or that has no rewrites; what the checkpoint's look-up raises.
    """
    artifact = artifacts.verify(artifacts.read(path))
    _require_measurable(artifact)
    source = source_of(artifact, checkpoint)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        found: list[Gain] = []
        folders: dict[str, Path] = {}
        for number, one in enumerate(artifact.rewrites):
            progress(f"converting without '{one.name}'", number, len(artifact.rewrites))
            into = Path(scratch) / str(number)
            into.mkdir()
            gain = _without(path, source.folder, one.name, into)
            found.append(gain)
            if not gain.reason:
                folders[one.name] = into
        progress("converting", len(artifact.rewrites), len(artifact.rewrites))
        arguments = {"path": path, "folders": folders, "gains": found, "rules": rules}
        return stage.run("edgevit.jobs.gains:measure", Gains, progress, **arguments).value


def _require_measurable(artifact: Artifact) -> None:
    place = targets.get(artifact.target)
    targets.require(place)
    if artifact.file is None or artifact.outcome is Outcome.UNCHECKED or place.not_here:
        why = place.not_here or artifact.reason or artifact.outcome.value
        raise BadInput(f"this machine does not measure {artifact.name}: {why}")
    if not artifact.rewrites:
        raise BadInput(f"{artifact.name} has no rewrites", "it was made by an older edgevit, or of a model that needed none")


def _without(path: Path, checkpoint: Path, rewrite: str, into: Path) -> Gain:
    """One that cannot be left out says so: others build on it, or the back end does not take what is left."""
    arguments = {"path": path, "checkpoint": checkpoint, "without": rewrite, "into": into}
    try:
        made = stage.run("edgevit.jobs.gains:convert", Delegation, silent, **arguments).value
    except EdgevitError as error:
        return Gain(rewrite, reason=f"cannot be left out: {error.message}")
    return Gain(rewrite, delegation=made)
