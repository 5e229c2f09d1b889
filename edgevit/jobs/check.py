"""An artifact's own answers beside its checkpoint's, and what its file holds beside what it should."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import folder, memory
from edgevit.artifact import Golden
from edgevit.data.loading import Loader
from edgevit.errors import BadInput, NoRuntime
from edgevit.jobs.answers import given, load, loader, outputs, torch_runner
from edgevit.jobs.export import as_converted, compute_with, dynamic, quantizes
from edgevit.jobs.program import metadata
from edgevit.jobs.reference import ORIGIN, REFERENCE, golden_rows
from edgevit.jobs.runtimes import affordable
from edgevit.types import Artifact, CheckResult, DataChoice, Outcome, Progress, Repeated, Runner

NAMED = 3


def check(
    artifact: Artifact,
    references: Path,
    data: DataChoice,
    checkpoint: Path,
    into: Path,
    progress: Progress,
    threads: int | None = None,
) -> CheckResult:
    """Run an artifact on the golden batch and on the chosen images, beside the checkpoint's answers in `references`.

    The golden batch with the artifact's own logits is written into `into`. Where nothing here runs it, its integers are looked up
    all the same. It all computes with so many `threads`, by default with all cores.
    """
    assert artifact.config
    compute_with(threads)
    golden = artifacts.read_golden(references, artifact.config)
    progress("loading", 0, None)
    try:
        runner = load(artifact, threads)
    except NoRuntime as error:
        artifacts.write_golden(into, dataclasses.replace(golden, artifact_logits=None))
        result = CheckResult(Outcome.UNCHECKED, error.message)
    else:
        record = checkpoints.read(checkpoint)
        chosen = loader(record, data)
        answered = _answered(runner, chosen, progress)
        del runner  # it may hold the weights more than once
        memory.trim()
        own = artifact.merges == record.config.merges and not quantizes(artifact)
        alike = golden.logits if own else _alike(checkpoint, artifact, golden, references.parent)
        beside = references / (ORIGIN if artifact.origin else REFERENCE)
        result, golden = _compared(artifact, answered, golden, alike, beside, chosen)
        artifacts.write_golden(into, golden)
    return _with_metadata(_with_integers(result, artifact, progress), artifact)


@dataclass(frozen=True)
class _Answered:
    """Logits (N, classes) that an artifact's file gave, the true classes (N), where it ran, and what went wrong on the way."""

    logits: np.ndarray
    classes: np.ndarray
    where: str
    faults: str


def _answered(runner: Runner, chosen: Loader, progress: Progress) -> _Answered:
    import targets

    progress("running", 0, None)
    logits, classes = outputs(runner, chosen, progress, "answers")
    return _Answered(logits, classes, runner.where, targets.faults(runner))


def repeat(artifact: Artifact, progress: Progress) -> Repeated:
    """The golden batch once more, beside the logits that the artifact holds."""
    from edgevit.checks.accuracy import relative_error

    assert artifact.config
    golden = artifacts.read_golden(artifact.folder, artifact.config)
    if golden.artifact_logits is None:
        return Repeated(reason="it holds no logits of its own, since nothing ran it when it was made")
    progress("loading", 0, None)
    try:
        runner = load(artifact)
    except NoRuntime as error:
        return Repeated(reason=error.message)
    progress("running", 0, None)
    answered = runner(golden.images)
    other = int((answered.argmax(1) != golden.artifact_logits.argmax(1)).sum())
    apart = relative_error(given(artifact, answered), given(artifact, golden.artifact_logits))
    return Repeated(apart, other, len(answered))


def _alike(checkpoint: Path, artifact: Artifact, golden: Golden, shared: Path) -> np.ndarray:
    """Logits of the golden batch, or the first of it, that the file should give: of the model as it was converted.

    Other targets hold the same integers: whichever is checked first leaves the logits in the folder `shared` of this export.
    """
    integers = folder.sha256(artifact.folder / artifacts.QUANTIZED) if quantizes(artifact) else ""
    merges = "-".join(f"{merge.after}.{merge.patches}" for merge in artifact.merges)
    images = hashlib.sha256(golden.images.tobytes()).hexdigest()[:16]
    file = shared / f"alike-{images}-{integers}-{dynamic(artifact)}-{merges}.npy"
    if file.exists():
        return np.asarray(np.load(file, allow_pickle=False))
    assert artifact.config
    logits = torch_runner(as_converted(checkpoint, artifact))(golden.images[: affordable(artifact.config)])
    with tempfile.NamedTemporaryFile(dir=shared, suffix=".npy", delete=False) as unfinished:
        np.save(unfinished, logits)
    os.replace(unfinished.name, file)
    return logits


def _compared(
    artifact: Artifact, answered: _Answered, golden: Golden, alike: np.ndarray, reference: Path, chosen: Loader
) -> tuple[CheckResult, Golden]:
    """What was answered beside the checkpoint's answers in the file `reference`; and what of it to the golden batch.

    `alike` are the logits of the first golden images that the file should give, of the model as it was converted.
    """
    import safetensors.numpy

    from edgevit.checks.accuracy import compare, relative_error

    expected = safetensors.numpy.load_file(reference)
    if not np.array_equal(answered.classes, expected["classes"]):
        raise BadInput(f"the images of {artifact.data} changed while they were read")
    own = answered.logits[golden_rows(chosen)]
    assert artifact.tolerance
    error = relative_error(given(artifact, own[: len(alike)]), given(artifact, alike))
    result = compare(
        answered.logits, expected["logits"], answered.classes, error, artifact.tolerance, answered.where, artifact.labels
    )
    result = _with_faults(result, answered.faults)
    cost = relative_error(given(artifact, own), given(artifact, golden.logits)) if quantizes(artifact) else None
    result = dataclasses.replace(result, quantization_error=cost, skipped=tuple(sorted(chosen.skipped)), split=chosen.split)
    return result, Golden(golden.images, golden.classes, golden.logits, own.astype(np.float32))


def _with_faults(result: CheckResult, faults: str) -> CheckResult:
    """The result, wrong whatever the answers were where the runner saw something go wrong on the way to them."""
    if not faults:
        return result
    return dataclasses.replace(result, outcome=Outcome.WRONG_ANSWERS, reason="; ".join(filter(None, [faults, result.reason])))


def _with_integers(result: CheckResult, artifact: Artifact, progress: Progress) -> CheckResult:
    """The result of a recipe of integers with whether the saved file holds those; another number in it is a wrong answer."""
    import safetensors.numpy

    from edgevit.checks import integers

    if not quantizes(artifact):
        return result
    progress("looking up the integers", 0, None)
    stored = safetensors.numpy.load_file(artifact.folder / artifacts.QUANTIZED)
    assert artifact.config
    per_head = artifact.config.width // artifact.config.heads
    absent = integers.absent(artifacts.model_file(artifact), stored, per_head**-0.5)
    if not absent:
        return dataclasses.replace(result, same_integers=True)
    there = sum(key.partition("/")[0] in integers.KINDS for key in stored)
    words = f"{len(absent)} of {there} matrices, scales and palettes are not the recipe's: {', '.join(absent[:NAMED])}"
    return dataclasses.replace(_wrong(result, words), same_integers=False)


def _with_metadata(result: CheckResult, artifact: Artifact) -> CheckResult:
    """The result where the file says of itself what the record says; else a wrong answer: an app would read it from the file."""
    looked = metadata(artifact)
    return _wrong(result, looked.words) if looked.holds is False else result


def _wrong(result: CheckResult, words: str) -> CheckResult:
    reason = "; ".join(filter(None, [result.reason, words]))
    return dataclasses.replace(result, outcome=Outcome.WRONG_ANSWERS, reason=reason)
