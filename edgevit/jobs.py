"""What the child processes do: each function is one stage, from folders and names to a noun. `pipeline` puts them in order."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.artifact import Golden
from edgevit.data import open_source
from edgevit.data.folder import open_image
from edgevit.data.loading import Loader
from edgevit.data.preprocess import denormalise, normalise, pixels
from edgevit.errors import BadInput, EdgevitError, LoadFailed, QuantizeFailed
from edgevit.types import (
    Artifact,
    Checkpoint,
    CheckResult,
    DataChoice,
    EvalResult,
    Exported,
    Latency,
    Prediction,
    Preprocess,
    Progress,
    Report,
    Runner,
    Sample,
)
from edgevit.versions import machine

if TYPE_CHECKING:
    from edgevit.vit.model import ViT

GOLDEN_IMAGES = 16
BATCH = 128


def loader(checkpoint: Checkpoint, data: DataChoice) -> Loader:
    """The chosen images, preprocessed as the checkpoint was trained. Raises BadInput where the classes are others."""
    source = open_source(data.spec, checkpoint.train.seed, checkpoint.train.held_out)
    if source.labels != checkpoint.labels:
        differ = sorted(set(source.labels) ^ set(checkpoint.labels)) or ["the same names in another order"]
        raise BadInput(f"{data.spec} has other classes than {checkpoint.folder}: {', '.join(differ[:5])}")
    return Loader(source.split(data.split), checkpoint.preprocess, data.on_bad)


def evaluate(checkpoint: Path, data: DataChoice, progress: Progress) -> EvalResult:
    """Top-1 and mean cross-entropy of a checkpoint."""
    from edgevit.checks.statistics import wilson

    record, model = checkpoints.load(checkpoint)
    chosen = loader(record, data)
    logits, classes = _outputs(_torch_runner(model), chosen, progress, "evaluating")
    right, n = int((logits.argmax(1) == classes).sum()), len(classes)
    shifted = logits - logits.max(1, keepdims=True)
    loss = float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(n), classes]).mean())
    return EvalResult(right / n, n, *wilson(right, n), loss, tuple(sorted(chosen.skipped)))


def reference(checkpoint: Path, data: DataChoice, into: Path, progress: Progress) -> int:
    """Write the checkpoint's logits on the chosen images, and the golden batch, for every artifact to be compared with.

    Returns the number of images.
    """
    import safetensors.numpy

    record, model = checkpoints.load(checkpoint)
    runner, chosen = _torch_runner(model), loader(record, data)
    logits, classes = _outputs(runner, chosen, progress, "answers of the checkpoint")
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
    logits, classes = _outputs(runner, chosen, progress, label)
    if not np.array_equal(classes, expected["classes"]):
        raise BadInput(f"the images of {data.spec} changed while they were read")
    artifacts.write_golden(references, Golden(golden.images, golden.classes, golden.logits, answered))
    tolerance = targets.get(artifact.target).recipes[artifact.recipe]
    error = relative_error(answered, golden.logits)
    result = compare(logits, expected["logits"], classes, error, tolerance, runner.where)
    return dataclasses.replace(result, skipped=tuple(sorted(chosen.skipped)))


def load(artifact: Artifact, threads: int | None = None) -> Runner:
    """The artifact's model in its runtime. Raises LoadFailed where the runtime refuses the file."""
    import targets

    try:
        return targets.load(artifact.target, artifacts.model_file(artifact), threads)
    except EdgevitError:
        raise
    except Exception as error:
        raise LoadFailed(f"{type(error).__name__}: {error}") from error


def bench(folders: tuple[Path, ...], runs: int, warmup: int, threads: int, progress: Progress) -> list[Latency]:
    """Latency of the artifacts on this machine, interleaved; those that cannot run here say why."""
    import targets
    from edgevit.bench.latency import interleaved, percentile

    runners: dict[str, Runner] = {}
    images: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    for number, folder in enumerate(folders):
        progress("loading", number, len(folders))
        artifact = artifacts.read(folder)
        name, target = str(folder), targets.get(artifact.target)
        try:
            reasons[name] = target.not_here or ", ".join(f"{lib.module} is not installed" for lib in targets.missing(target))
            if not reasons[name]:
                artifacts.verify(artifact)
                runners[name], images[name] = load(artifact, threads), artifacts.read_golden(folder).images[:1]
                runners[name](images[name])
        except Exception as error:
            runners.pop(name, None)
            reasons[name] = f"{type(error).__name__}: {error}"
    progress("loading", len(folders), len(folders))
    times = interleaved(runners, images, runs, warmup, progress)
    found = []
    for name in map(str, folders):
        if name not in runners:
            found.append(Latency(name, "none", reason=reasons[name]))
            continue
        p50, p90, p99 = (percentile(times[name], f) for f in (0.5, 0.9, 0.99))
        where, used = runners[name].where, runners[name].threads
        found.append(Latency(name, where, p50, p90, p99, runs, warmup, used, machine()))
    return found


def predict(model: Path, images: tuple[Path, ...], top: int, progress: Progress) -> list[Prediction]:
    """The `top` likeliest classes of each image, by an artifact or a checkpoint."""
    if (model / artifacts.RECORD).is_file():
        artifact = artifacts.verify(artifacts.read(model))
        assert artifact.preprocess
        runner, preprocess, labels = load(artifact), artifact.preprocess, artifact.labels
    else:
        record, vit = checkpoints.load(model)
        runner, preprocess, labels = _torch_runner(vit), record.preprocess, record.labels
    found = []
    for number, image in enumerate(images):
        logits = runner(_one_image(image, preprocess))[0].astype(np.float64)
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        best = scores.argsort()[::-1][:top]
        names = tuple(labels[i] for i in best)
        found.append(Prediction(str(image), names, tuple(float(scores[i]) for i in best), runner.where))
        progress("predicting", number + 1, len(images))
    return found


def _one_image(path: Path, preprocess: Preprocess) -> np.ndarray:
    if not path.is_file():
        raise BadInput(f"no such image: {path}")
    return normalise(pixels(open_image(path), preprocess)[None], preprocess)


def report(
    made: tuple[Artifact, ...],
    latencies: tuple[Latency, ...],
    out: Path,
    title: str,
    command: str,
    force: bool,
    progress: Progress,
) -> Report:
    """Write the report of some artifacts, all of one checkpoint, into `out`."""
    import edgevit.report
    from edgevit.folder import files_written_whole
    from edgevit.training import watch
    from edgevit.vit.config import parameters

    progress("writing the report", 0, 1)
    whole = [artifact for artifact in made if artifact.file]
    if not whole:
        raise BadInput("no artifact to report on", "every export failed; see the reasons above")
    source = checkpoints.read(whole[0].folder / whole[0].checkpoint)
    curve = tuple(watch.read(source.folder.parent / watch.LINES))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    samples = _samples(whole)
    found = Report(title, now, machine(), command, source, parameters(source.config), made, latencies, samples, curve)
    if (out / edgevit.report.JSON).exists() and not force:
        raise BadInput(f"already exists: {out / edgevit.report.JSON}", "--force replaces it when the new one is whole")
    with files_written_whole(out) as partial:
        edgevit.report.write(found, partial)
    progress("writing the report", 1, 1)
    return found


def _samples(whole: list[Artifact]) -> tuple[Sample, ...]:
    """The golden images with everybody's answers. They are the same for all artifacts of one export."""
    batches = [(artifact, artifacts.read_golden(artifact.folder)) for artifact in whole]
    first, golden = batches[0]
    assert first.preprocess
    pictures = denormalise(golden.images, first.preprocess)
    found = []
    for i, picture in enumerate(pictures):
        answers = {"checkpoint": first.labels[int(golden.logits[i].argmax())]}
        for artifact, batch in batches:
            if batch.artifact_logits is not None and np.array_equal(batch.images, golden.images):
                answers[f"{artifact.target}-{artifact.recipe}"] = artifact.labels[int(batch.artifact_logits[i].argmax())]
        found.append(Sample(_data_uri(picture), first.labels[int(golden.classes[i])], answers))
    return tuple(found)


def _data_uri(picture: np.ndarray) -> str:
    """uint8 (H, W, 3) as a PNG in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class _TorchRunner:
    """The checkpoint itself, called as its artifacts are."""

    where = "host"
    threads = os.cpu_count()

    def __init__(self, model: ViT) -> None:
        self.model = model

    def __call__(self, images: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.model(torch.from_numpy(images)).numpy()


def _torch_runner(model: ViT) -> Runner:
    return _TorchRunner(model)


def _outputs(runner: Runner, images: Loader, progress: Progress, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, classes) and true classes (N) of all the images."""
    pairs: Iterator[tuple[np.ndarray, np.ndarray]] = images.normalised(BATCH, progress, label)
    logits, classes = zip(*((runner(batch), numbers) for batch, numbers in pairs), strict=True)
    return np.concatenate(logits), np.concatenate(classes)
