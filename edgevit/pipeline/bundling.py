"""An ExecuTorch artifact's program with its own test, in one file for a device."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import folder, stage
from edgevit.errors import BadInput
from edgevit.types import Artifact, Bundled, Progress

PROGRAM = ".pte"
IDENTIFIER = b"BP"
"""Bytes 4 and 5 of a BundledProgram; the version of its schema follows."""


def bundle(path: Path, out: Path, images: int, force: bool, progress: Progress) -> Bundled:
    """Write the artifact's program and the first `images` of its golden batch to the file `out`, and run the test if that can be

    done here. Raises BadInput where the artifact is not ExecuTorch's, or `out` may not be written.
    """
    artifact = artifacts.verify(artifacts.read(path))
    artifacts.model_file(artifact)
    place = targets.get(artifact.target)
    if place.suffix != PROGRAM:
        others = ", ".join(target.name for target in targets.all_targets() if target.suffix == PROGRAM)
        raise BadInput(f"{artifact.target} has no bundled program", f"ExecuTorch's format, of artifacts of {others}")
    targets.require(place)
    _refuse_existing(out, artifact, force)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        arguments = {"artifact": artifact, "images": images, "out": partial}
        made = stage.run("edgevit.jobs.program:bundle", Bundled, progress, **arguments).value
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return dataclasses.replace(made, file=out)


def _refuse_existing(out: Path, artifact: Artifact, force: bool) -> None:
    """Raise BadInput where `out` cannot be made, or is there and may not be replaced."""
    if artifact.folder.resolve() in out.resolve().parents:
        raise BadInput(f"within the artifact: {out}", "it holds the files of its record and no others; choose another --out")
    if not os.path.lexists(out):
        folder.refuse_existing(out, "", force)
    elif not out.is_file():
        raise BadInput(f"not a file: {out}", "choose another --out")
    elif not _bundle(out):
        raise BadInput(f"not a bundled program: {out}", "choose another --out; edgevit replaces only what it makes")
    elif not force:
        raise BadInput(f"already there: {out}", "--force replaces it")


def _bundle(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(6)[4:] == IDENTIFIER
