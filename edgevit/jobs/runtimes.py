"""An artifact in one of the runtimes that may open it, on the same images as in its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.artifact import Golden
from edgevit.checks.accuracy import compare, relative_error
from edgevit.data.loading import Loader
from edgevit.errors import NoRuntime
from edgevit.jobs.answers import called, given, loader, outputs
from edgevit.jobs.reference import REFERENCE
from edgevit.types import Artifact, DataChoice, Outcome, Progress, Ran, Runner, Runtime, ViTConfig
from edgevit.vit.config import multiply_adds

Answers = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Logits (N, classes), the checkpoint's on the same images, and the true classes (N)."""
Answering = Callable[[Runner, Golden, np.ndarray], Answers]
"""Of a runner, the golden batch, and what it answered to that."""


AFFORDED, FEWEST = 80e9, 4
"""Multiply-adds in all, and images at the least: a B/16 answers 5 images in each, an S/16 and what is smaller all of them."""
ONE = 1
"""Thread for the golden batch, beside which other work goes on: two that wait for each other take eight times as long."""


def golden(artifact: Artifact, runtime: Runtime, batch: Path, into: Path, progress: Progress) -> Ran:
    """On the golden batch in the folder `batch` alone, or the first of it. Nothing is left in the folder `into`."""

    def answers(runner: Runner, found: Golden, again: np.ndarray) -> Answers:
        return again, found.logits, found.classes

    return _run(artifact, runtime, batch, answers, progress, ONE)


def chosen(
    artifact: Artifact, runtime: Runtime, references: Path, data: DataChoice, checkpoint: Path, most: int, progress: Progress
) -> Ran:
    """On at most `most` of the chosen images, spread over them, for which the checkpoint's answers are in `references`."""
    import safetensors.numpy

    everything = loader(checkpoints.read(checkpoint), data)
    places = list(range(0, len(everything.images), -(-len(everything.images) // most)))
    images = Loader(everything.images.take(places), everything.preprocess)
    expected = safetensors.numpy.load_file(references / REFERENCE)["logits"]

    def answers(runner: Runner, found: Golden, again: np.ndarray) -> Answers:
        logits, classes = outputs(runner, images, progress, f"answers in {runtime.name}")
        return logits, expected[places], classes

    return _run(artifact, runtime, artifact.folder, answers, progress)


def _run(
    artifact: Artifact, runtime: Runtime, batch: Path, answers: Answering, progress: Progress, threads: int | None = None
) -> Ran:
    file = artifacts.model_file(artifact)
    if runtime.judges:
        refused = targets.judged(artifact.target, runtime.name, file)
        return Ran(runtime.name, Outcome.UNDELEGATED if refused else Outcome.PASS, refused)
    progress(f"loading in {runtime.name}", 0, None)
    try:
        runner = called(artifact, targets.load_in(artifact.target, runtime.name, file, threads), runtime.pixels)
    except NoRuntime as error:
        return Ran(runtime.name, Outcome.SKIPPED, error.message)
    except Exception as error:  # of a runtime, which may raise anything
        return Ran(runtime.name, Outcome.LOAD_FAILED, _words(error))
    try:
        return _compared(artifact, runtime, runner, batch, answers)
    except Exception as error:
        return Ran(runtime.name, Outcome.RUN_FAILED, _words(error))


def _compared(artifact: Artifact, runtime: Runtime, runner: Runner, batch: Path, answers: Answering) -> Ran:
    """Relative errors are from the logits that the artifact's own runtime gave, answers beside the checkpoint's."""
    assert artifact.config and artifact.tolerance
    found = _first(artifacts.read_golden(batch, artifact.config), affordable(artifact.config))
    own = found.logits if found.artifact_logits is None else found.artifact_logits
    again = runner(found.images)
    error = relative_error(given(artifact, again), given(artifact, own))
    logits, expected, classes = answers(runner, found, again)
    result = compare(logits, expected, classes, error, artifact.tolerance, runner.where, artifact.labels)
    shared = {name: getattr(result, name) for name in ("images", "top1", "reference_top1", "agreement", "where")}
    return Ran(runtime.name, result.outcome, result.reason, relative_error=error if np.isfinite(error) else None, **shared)


def affordable(config: ViTConfig) -> int:
    """How many golden images a model of that shape answers in each of five runtimes, two of which have no fast kernels."""
    return max(FEWEST, round(AFFORDED / multiply_adds(config)))


def _first(golden: Golden, most: int) -> Golden:
    own = None if golden.artifact_logits is None else golden.artifact_logits[:most]
    return Golden(golden.images[:most], golden.classes[:most], golden.logits[:most], own)


def _words(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {said}"
