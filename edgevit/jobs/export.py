"""Making an artifact and checking it beside its checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import folder
from edgevit.artifact import Golden
from edgevit.data.loading import Loader
from edgevit.data.preprocess import denormalise
from edgevit.errors import BadInput, EdgevitError, NoRuntime, QuantizeFailed
from edgevit.jobs import islands
from edgevit.jobs.answers import given, load, loader, outputs, torch_runner
from edgevit.jobs.program import metadata
from edgevit.jobs.quantize import IMAGES, SEEN
from edgevit.jobs.reference import GOLDEN_IMAGES, ORIGIN, REFERENCE, golden_rows
from edgevit.jobs.runtimes import affordable
from edgevit.types import Artifact, CheckResult, DataChoice, Exported, Outcome, Progress, Repeated, Runner

if TYPE_CHECKING:
    from torch import Tensor

    from edgevit.vit.model import ViT

HALF = 16
NAMED = 3
ALONE = "alone.lock"
"""Beside the references, which all conversions of an export share: it is locked while one of them needs the most memory."""
PROVING = 2
"""Golden images on which the rewrites of a conversion are proven."""


def convert(
    checkpoint: Path, quantized: Path | None, references: Path, artifact: Artifact, into: Path, progress: Progress
) -> Exported:
    """Write the model file of `artifact`, into `into`: of the checkpoint with what `quantized` holds, if any."""
    import torch

    import converters
    import targets
    from converters.order import Order
    from edgevit.vit.model import merged

    record, model = checkpoints.load(checkpoint)
    golden = artifacts.read_golden(references, record.config).images
    images = torch.from_numpy(golden[:PROVING])
    place = targets.get(artifact.target)
    model = merged(model, artifact.merges)
    progress("quantizing", 0, None)
    _put(model, artifact, quantized)
    progress("converting", 0, None)
    assert artifact.quantization
    seen = _seen(quantized.with_name(SEEN)) if quantized else None
    order = Order(
        model, artifact.quantization, images, record.preprocess, record.labels, artifact.input, seen,
        alone=partial(_alone, references.parent / ALONE),
        once=partial(_once, references.parent, _model_in_words(artifact)),
    )  # fmt: skip
    made = converters.convert(place.converter, order, into, progress)
    looked_at = golden if seen is None else np.concatenate([golden, seen[:GOLDEN_IMAGES].numpy()])
    if order.pixels:
        looked_at = denormalise(looked_at, record.preprocess)
    made = islands.fitting(made, artifact.target, order, looked_at, into, progress)
    counted = targets.delegation(artifact.target, into / made.file)
    return dataclasses.replace(made, delegation=counted) if counted else made


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """What no other process holds while this one does. One that dies lets it go."""
    with file.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _once(shared: Path, model: str, words: str, measure: Callable[[], list[float]]) -> list[float]:
    """What another conversion of this export has measured of the same model, from the folder `shared`, to the bit.

    Where none has, it is measured, and left for the next.
    """
    file = shared / f"measured-{hashlib.sha256(f'{model}: {words}'.encode()).hexdigest()}.json"
    if file.exists():
        return list(json.loads(file.read_text()))
    measured = measure()
    folder.write_whole(file, json.dumps(measured).encode())
    return measured


def _model_in_words(artifact: Artifact) -> str:
    """The model that is converted, made of an export's checkpoint; not how it rounds activations, for proofs are in floats."""
    assert artifact.quantization
    return f"{artifact.quantization.name} {artifact.merges}"


def _seen(file: Path) -> Tensor | None:
    """The images to calibrate on, where the recipe left them."""
    import safetensors.torch

    return safetensors.torch.load_file(file)[IMAGES] if file.exists() else None


def _dynamic(artifact: Artifact) -> bool:
    """Whether activations are rounded as they come, each token on its own."""
    import targets

    assert artifact.quantization
    return artifact.quantization.activations == "dynamic" and "dynamic" in targets.get(artifact.target).activations


def _put(model: ViT, artifact: Artifact, quantized: Path | None) -> None:
    """What the artifact's recipe made of the checkpoint, into `model`. Raises QuantizeFailed."""
    recipe = artifact.quantization
    assert recipe
    try:
        if quantized:
            from quantize import quantized as stored

            stored.read(quantized, model).put(model, _dynamic(artifact))
        elif recipe.weights.bits == HALF:
            from quantize.apply import round_to_half

            round_to_half(model)
    except EdgevitError as error:
        raise QuantizeFailed(error.message, error.hint) from error


def check(
    artifact: Artifact, references: Path, data: DataChoice, checkpoint: Path, into: Path, progress: Progress
) -> CheckResult:
    """Run an artifact on the golden batch and on the chosen images, beside the checkpoint's answers in `references`.

    The golden batch with the artifact's own logits is written into `into`. Where nothing here runs it, its integers are looked up
    all the same.
    """
    assert artifact.config
    golden = artifacts.read_golden(references, artifact.config)
    progress("loading", 0, None)
    try:
        runner = load(artifact)
    except NoRuntime as error:
        artifacts.write_golden(into, dataclasses.replace(golden, artifact_logits=None))
        result = CheckResult(Outcome.UNCHECKED, error.message)
    else:
        record = checkpoints.read(checkpoint)
        own = artifact.merges == record.config.merges and not quantizes(artifact)
        alike = golden.logits if own else _alike(checkpoint, artifact, golden, references.parent)
        beside = references / (ORIGIN if artifact.origin else REFERENCE)
        result, golden = _compared(artifact, runner, golden, alike, beside, loader(record, data), progress)
        artifacts.write_golden(into, golden)
    return _with_metadata(_with_integers(result, artifact, progress), artifact)


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


def quantizes(artifact: Artifact) -> bool:
    return bool(artifact.quantization and artifact.quantization.quantizes)


def as_converted(checkpoint: Path, artifact: Artifact) -> ViT:
    """The model as it was converted: the checkpoint's with the artifact's merges, and its integers or palettes."""
    from edgevit.vit.model import merged

    model = merged(checkpoints.load(checkpoint)[1], artifact.merges)
    if quantizes(artifact):
        _put(model, artifact, artifact.folder / artifacts.QUANTIZED)
    return model


def _alike(checkpoint: Path, artifact: Artifact, golden: Golden, shared: Path) -> np.ndarray:
    """Logits of the golden batch, or the first of it, that the file should give: of the model as it was converted.

    Other targets hold the same integers: whichever is checked first leaves the logits in the folder `shared` of this export.
    """
    integers = folder.sha256(artifact.folder / artifacts.QUANTIZED) if quantizes(artifact) else ""
    merges = "-".join(f"{merge.after}.{merge.patches}" for merge in artifact.merges)
    images = hashlib.sha256(golden.images.tobytes()).hexdigest()[:16]
    file = shared / f"alike-{images}-{integers}-{_dynamic(artifact)}-{merges}.npy"
    if file.exists():
        return np.asarray(np.load(file, allow_pickle=False))
    assert artifact.config
    logits = torch_runner(as_converted(checkpoint, artifact))(golden.images[: affordable(artifact.config)])
    with tempfile.NamedTemporaryFile(dir=shared, suffix=".npy", delete=False) as unfinished:
        np.save(unfinished, logits)
    os.replace(unfinished.name, file)
    return logits


def _compared(
    artifact: Artifact,
    runner: Runner,
    golden: Golden,
    alike: np.ndarray,
    reference: Path,
    chosen: Loader,
    progress: Progress,
) -> tuple[CheckResult, Golden]:
    """What the runner answers, beside the checkpoint's answers in the file `reference`; and its answers to the golden batch.

    `alike` are the logits of the first golden images that the file should give, of the model as it was converted.
    """
    import safetensors.numpy

    import targets
    from edgevit.checks.accuracy import compare, relative_error

    expected = safetensors.numpy.load_file(reference)
    progress("running", 0, None)
    logits, classes = outputs(runner, chosen, progress, "answers")
    if not np.array_equal(classes, expected["classes"]):
        raise BadInput(f"the images of {artifact.data} changed while they were read")
    answered = logits[golden_rows(chosen)]
    assert artifact.tolerance
    error = relative_error(given(artifact, answered[: len(alike)]), given(artifact, alike))
    result = compare(logits, expected["logits"], classes, error, artifact.tolerance, runner.where, artifact.labels)
    result = _with_faults(result, targets.faults(runner))
    cost = relative_error(given(artifact, answered), given(artifact, golden.logits)) if quantizes(artifact) else None
    result = dataclasses.replace(result, quantization_error=cost, skipped=tuple(sorted(chosen.skipped)), split=chosen.split)
    return result, Golden(golden.images, golden.classes, golden.logits, answered.astype(np.float32))


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
