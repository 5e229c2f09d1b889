"""Whether an artifact that exists is still what was made."""

from __future__ import annotations

from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import folder, stage
from edgevit.errors import BadInput, DamagedFile, EdgevitError
from edgevit.pipeline.export import used
from edgevit.pipeline.recheck import source_of
from edgevit.types import Artifact, Looked, Progress, Repeated, Verified


def verify(path: Path, checkpoint: Path | None, progress: Progress) -> Verified:
    """Whether the artifact at `path` is what was made: its files and record, the versions here, what its file says

    of itself, its golden batch, its checkpoint. Raises BadInput where there is no artifact.
    """
    artifact = artifacts.read(path)
    files = _files(artifact)
    looked = [files]
    if files.holds:
        looked += [_versions(artifact), *_metadata(artifact, progress), _golden(artifact, progress)]
        looked.append(_checkpoint(artifact, checkpoint))
    return Verified(str(path), artifact.identity, tuple(looked))


def _files(artifact: Artifact) -> Looked:
    try:
        artifacts.verify(artifact)
    except DamagedFile as error:
        return Looked("files and record", False, error.message)
    return Looked("files and record", True, f"{len(artifact.files)} files and the record have their hashes")


def _versions(artifact: Artifact) -> Looked:
    here = used(targets.get(artifact.target))
    others = [
        f"{name} is {here.get(name, 'not installed')} here and was {version}"
        for name, version in artifact.versions.items()
        if here.get(name) != version
    ]
    return Looked("versions", not others, "; ".join(others) or f"the {len(artifact.versions)} that made it are here")


def _metadata(artifact: Artifact, progress: Progress) -> list[Looked]:
    """Nothing where files of that target say nothing of themselves."""
    what, place = "metadata", targets.get(artifact.target)
    if not targets.describes(place.name):
        return []
    if absent := targets.missing(place):
        return [Looked(what, None, f"not read: {', '.join(library.module for library in absent)} is not installed")]
    try:
        return [stage.run("edgevit.jobs.program:metadata", Looked, progress, artifact=artifact).value]
    except EdgevitError as error:
        return [Looked(what, False, error.message)]


def _golden(artifact: Artifact, progress: Progress) -> Looked:
    what, place = "golden batch", targets.get(artifact.target)
    assert artifact.tolerance
    if absent := targets.missing(place):
        return Looked(what, None, f"not run: {', '.join(library.module for library in absent)} is not installed")
    try:
        found = stage.run("edgevit.jobs.check:repeat", Repeated, progress, artifact=artifact).value
    except EdgevitError as error:
        return Looked(what, False, error.message)
    if found.relative_error is None:
        return Looked(what, None, f"not run: {found.reason}")
    limit = artifact.tolerance.relative_error
    words = f"{found.images} images by {place.runtime}: relative error {found.relative_error:.1e} from the logits that it holds"
    words += f", at most {limit:.0e}" + (f"; {found.other} other answers" if found.other else "")
    return Looked(what, found.relative_error <= limit, words)


def _checkpoint(artifact: Artifact, given: Path | None) -> Looked:
    if given is None and not (artifact.folder / artifact.checkpoint).exists():
        return Looked("checkpoint", None, f"not at {artifact.folder / artifact.checkpoint}; --checkpoint says where it is")
    try:
        source = source_of(artifact, given)
    except BadInput as error:
        return Looked("checkpoint", False, error.message)
    own = folder.sha256(source.folder / checkpoints.WEIGHTS) == artifact.checkpoint_sha256
    words = "the one that it was made from" if own else f"{source.folder / checkpoints.WEIGHTS} was changed since"
    return Looked("checkpoint", own, words)
