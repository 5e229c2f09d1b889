"""Making an artifact and checking it beside its checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.artifact import Golden
from edgevit.data.loading import Loader
from edgevit.errors import BadInput, QuantizeFailed
from edgevit.jobs.answers import BATCH, load, loader, outputs, torch_runner
from edgevit.types import Artifact, CheckResult, DataChoice, Exported, Progress

GOLDEN_IMAGES = 16


def reference(checkpoint: Path, data: DataChoice, into: Path, progress: Progress) -> int:
    """Write the checkpoint's logits on the chosen images, and the golden batch, for every artifact to be compared with.

    Returns the number of images.
    """
    import safetensors.numpy

    record, model = checkpoints.load(checkpoint)
    runner, chosen = torch_runner(model), loader(record, data)
    logits, classes = outputs(runner, chosen, progress, "answers of the checkpoint")
    (into / "reference.safetensors").write_bytes(safetensors.numpy.save({"logits": logits, "classes": classes}))
    images = Loader(chosen.images.take(_spread(chosen.images.classes)), record.preprocess, "skip")
    golden, golden_classes = (np.concatenate(parts) for parts in zip(*images.normalised(BATCH), strict=True))
    artifacts.write_golden(into, Golden(golden, golden_classes, runner(golden)))
    return len(classes)


def _spread(classes: np.ndarray) -> list[int]:
    """Positions of the golden images: the first of each class in turn, then the second, and so on."""
    by_class = [np.flatnonzero(classes == c) for c in np.unique(classes)]
    ranked = sorted((rank, int(i)) for members in by_class for rank, i in enumerate(members[:GOLDEN_IMAGES]))
    return [i for _, i in ranked[:GOLDEN_IMAGES]]


def convert(checkpoint: Path, target: str, recipe: str, into: Path, progress: Progress) -> Exported:
    """Quantize the checkpoint and write the target's model file into the folder `into`."""
    import converters
    import quantize
    import targets
    from edgevit.checks import integers
    from quantize.apply import apply
    from quantize.apply import integers as made

    _, model = checkpoints.load(checkpoint)
    chosen, place = quantize.get(recipe), targets.get(target)
    progress("quantizing", 0, None)
    try:
        apply(model, chosen, place.activations)
    except Exception as error:
        raise QuantizeFailed(f"{type(error).__name__}: {error}") from error
    matrices = {name: matrix.numpy() for name, matrix in made(model).items()}
    converted = converters.convert(place.converter, model, chosen, into, progress)
    same = not integers.absent(into / converted.file, matrices) if matrices else None
    return Exported(converted.file, converted.delegation, same)


def check(artifact: Artifact, references: Path, data: DataChoice, checkpoint: Path, progress: Progress) -> CheckResult:
    """Run an artifact on the golden batch and on the chosen images, beside the checkpoint's answers in `references`."""
    import safetensors.numpy

    import targets
    from edgevit.checks.accuracy import compare, relative_error

    golden = artifacts.read_golden(references)
    expected = safetensors.numpy.load_file(references / "reference.safetensors")
    chosen = loader(checkpoints.read(checkpoint), data)
    progress(f"loading {artifact.target}-{artifact.recipe}", 0, None)
    runner = load(artifact)
    answered = runner(golden.images)
    label = f"answers of {artifact.target}-{artifact.recipe}"
    logits, classes = outputs(runner, chosen, progress, label)
    if not np.array_equal(classes, expected["classes"]):
        raise BadInput(f"the images of {data.spec} changed while they were read")
    artifacts.write_golden(references, Golden(golden.images, golden.classes, golden.logits, answered))
    tolerance = targets.get(artifact.target).recipes[artifact.recipe]
    error = relative_error(answered, golden.logits)
    result = compare(logits, expected["logits"], classes, error, tolerance, runner.where)
    return dataclasses.replace(result, skipped=tuple(sorted(chosen.skipped)))
