"""What an artifact's file says of itself, and the file with its own test in it."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit import folder
from edgevit.artifact import Golden
from edgevit.checks.description import differs
from edgevit.data.preprocess import denormalise
from edgevit.errors import BadInput, EdgevitError
from edgevit.jobs.answers import given
from edgevit.types import Artifact, Bundled, Input, Looked, Progress


def describe(artifact: Artifact, into: Path, progress: Progress) -> tuple[str, ...]:
    """Write the metadata of the artifact's format into its file, which lies in the folder `into`; what that could not say."""
    import targets

    progress("writing metadata", 0, None)
    writer = targets.get(artifact.target).metadata
    assert artifact.file and writer
    module = importlib.import_module(f"converters.{writer.module}")
    found: tuple[str, ...] = module.describe(into / artifact.file, artifact)
    return found


def metadata(artifact: Artifact) -> Looked:
    """Whether the file says of itself what the record says of it."""
    import targets

    what = "metadata"
    try:
        found = targets.described(artifact.target, artifacts.model_file(artifact))
    except EdgevitError as error:
        return Looked(what, False, error.message)
    except Exception as error:  # of a runtime that does not take the file
        return Looked(what, False, f"{type(error).__name__}: {error}")
    if found is None:
        return Looked(what, None, "the file says nothing of itself")
    differences = differs(found, artifact)
    return Looked(what, not differences, differences or "the file says of itself what the record says of it")


def bundle(artifact: Artifact, images: int, out: Path, progress: Progress) -> Bundled:
    """The artifact's program into the file `out`, with the first golden images and the outputs that are expected of it; run, if

    that can be done here.
    """
    from targets import bundle as bundles

    assert artifact.tolerance and artifact.config
    golden = artifacts.read_golden(artifact.folder, artifact.config)
    outputs, whose = _expected(artifact, golden)
    if images > len(outputs):
        raise BadInput(f"{images} images, and {artifact.folder} holds {len(outputs)}", f"at most: --images {len(outputs)}")
    inputs, outputs = _inputs(artifact, golden)[:images], outputs[:images]
    program = artifacts.model_file(artifact)
    progress("bundling", 0, None)
    bundles.write(program, inputs, outputs, out)
    atol = artifact.tolerance.relative_error * float(np.abs(outputs).max())
    progress("running the test", 0, None)
    passed, reason = bundles.passes(program, out, len(inputs), atol)
    return Bundled(out, folder.size(out), len(inputs), whose, atol, passed, reason)


def _inputs(artifact: Artifact, golden: Golden) -> np.ndarray:
    """The golden images as the file takes them."""
    assert artifact.preprocess
    return denormalise(golden.images, artifact.preprocess) if artifact.input is Input.PIXELS else golden.images


def _expected(artifact: Artifact, golden: Golden) -> tuple[np.ndarray, str]:
    """What the file should give for the golden images, and whose answers those are."""
    if golden.artifact_logits is not None:
        return given(artifact, golden.artifact_logits), f"the artifact's own, by {artifact.runtime}"
    return given(artifact, golden.logits), "the checkpoint's, since nothing ran the artifact when it was made"
