"""Whoever answers, and on which images: the checkpoint, its artifacts, and the images that are chosen for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgevit import artifact as artifacts
from edgevit.data import lasting, open_source, unlabelled
from edgevit.data.dataset import Dataset
from edgevit.data.loading import Loader
from edgevit.data.preprocess import denormalise
from edgevit.errors import BadInput, EdgevitError, LoadFailed, NoRuntime, NotInstalled
from edgevit.types import Artifact, Checkpoint, DataChoice, Input, Preprocess, Progress, Runner, TrainConfig

if TYPE_CHECKING:
    from edgevit.vit.model import ViT

BATCH = 128
FEW = 16
"""Images that a model answers at once here: what more of them leave behind does not stay near the processor."""


def loader(checkpoint: Checkpoint, data: DataChoice) -> Loader:
    """The chosen images, preprocessed as the checkpoint was trained. Raises BadInput where the classes are others."""
    require_head(checkpoint)
    source = _source(checkpoint, data)
    _require_same_classes(source, checkpoint)
    return _chosen(source, checkpoint, data)


def require_head(checkpoint: Checkpoint) -> None:
    if not checkpoint.labels:
        raise BadInput(f"{checkpoint.folder} has no head: it is pre-trained only", "edgevit train --from gives it one")


def images(checkpoint: Checkpoint, data: DataChoice) -> Loader:
    """The same, of whatever classes: for who wants to look at pictures, not to count right answers."""
    train = checkpoint.train
    if train and train.objective == "masked patches" and unlabelled.recognises(data.spec):
        _, held_out = unlabelled.open_unlabelled(data.spec, train.seed, train.held_out)
        return Loader(held_out, checkpoint.preprocess, data.on_bad)
    return _chosen(_source(checkpoint, data), checkpoint, data)


def _source(checkpoint: Checkpoint, data: DataChoice) -> Dataset:
    train = checkpoint.train or TrainConfig("")
    return open_source(data.spec, train.seed, train.held_out)


def _chosen(source: Dataset, checkpoint: Checkpoint, data: DataChoice) -> Loader:
    trained_on = checkpoint.train.data if checkpoint.train else ""
    split = _split(source, data, trained_on)
    return Loader(source.split(split), checkpoint.preprocess, data.on_bad, split)


def _require_same_classes(source: Dataset, checkpoint: Checkpoint) -> None:
    """A source that knows its classes by number alone goes with any checkpoint that has so many."""
    if source.labels == checkpoint.labels or (not source.named and len(source.labels) <= len(checkpoint.labels)):
        return
    differ = sorted(set(source.labels) ^ set(checkpoint.labels)) or ["the same names in another order"]
    raise BadInput(f"{source.spec} has other classes than {checkpoint.folder}: {', '.join(differ[:5])}")


def _split(source: Dataset, data: DataChoice, trained_on: str) -> str:
    """`auto` is what the checkpoint has not been trained on: the held-out part of its own data or of a source that has one,

    and all of any other.
    """
    if data.split != "auto":
        return data.split
    own = bool(trained_on) and lasting(data.spec) == lasting(trained_on)
    return "held-out" if own or source.has_held_out else "all"


def load(artifact: Artifact, threads: int | None = None) -> Runner:
    """The artifact's model in its runtime. Raises LoadFailed where that refuses the file, NoRuntime where there is none here."""
    import targets

    try:
        runner = targets.load(artifact.target, artifacts.model_file(artifact), threads)
    except (NotInstalled, NoRuntime):
        raise
    except EdgevitError as error:  # of the file, which an export has just made: a stage that failed, and no misuse
        raise LoadFailed(error.message, error.hint) from error
    except Exception as error:
        raise LoadFailed(f"{type(error).__name__}: {error}") from error
    return called(artifact, runner)


def called(artifact: Artifact, runner: Runner, pixels: bool = False) -> Runner:
    """A runner of the artifact's file, or one that takes `pixels` whatever the file takes, called as all are."""
    if artifact.input is Input.TENSOR and not pixels:
        return runner
    assert artifact.preprocess
    return FromPixels(runner, artifact.preprocess, artifact.input is Input.PIXELS)


LEAST = float(np.finfo(np.float32).tiny)
"""A probability that is nothing, so that it has a logarithm."""


class FromPixels:
    """A runner of pixels, called as the others are: where it gives `probabilities`, its logits are their logarithms."""

    def __init__(self, runner: Runner, preprocess: Preprocess, probabilities: bool) -> None:
        self.runner, self.preprocess, self.probabilities = runner, preprocess, probabilities
        self.where, self.threads = runner.where, runner.threads

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """Normalised images (N, 3, H, W) as the pixels that they were, uint8 (N, H, W, 3)."""
        return denormalise(images, self.preprocess)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        found = self.runner(self.pixels(images))
        return np.log(np.maximum(found, LEAST)) if self.probabilities else found


def given(artifact: Artifact, logits: np.ndarray) -> np.ndarray:
    """What the artifact's file gives where these are its logits (N, classes): its errors are counted in that."""
    if artifact.input is Input.TENSOR:
        return logits
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found: np.ndarray = powers / powers.sum(1, keepdims=True)
    return found


class _TorchRunner:
    """The checkpoint itself, called as its artifacts are."""

    where = "host"
    threads = os.cpu_count()

    def __init__(self, model: ViT) -> None:
        self.model = model

    def __call__(self, images: np.ndarray) -> np.ndarray:
        import torch

        from edgevit.onednn import ByOneDNN

        with torch.inference_mode(), ByOneDNN():
            return torch.cat([self.model(few) for few in torch.from_numpy(images).split(FEW)]).numpy()


def torch_runner(model: ViT) -> Runner:
    return _TorchRunner(model)


def outputs(runner: Runner, images: Loader, progress: Progress, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, classes) and true classes (N) of all the images."""
    pairs: Iterator[tuple[np.ndarray, np.ndarray]] = images.normalised(BATCH, progress, label)
    logits, classes = zip(*((runner(batch), numbers) for batch, numbers in pairs), strict=True)
    return np.concatenate(logits), np.concatenate(classes)
