"""Making an artifact's file of a checkpoint."""

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
from edgevit.data.preprocess import denormalise
from edgevit.errors import EdgevitError, QuantizeFailed
from edgevit.jobs import islands
from edgevit.jobs.quantize import IMAGES, SEEN
from edgevit.jobs.reference import GOLDEN_IMAGES
from edgevit.types import Artifact, Exported, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from converters.order import Order
    from edgevit.vit.model import ViT

HALF = 16
ALONE = "alone.lock"
"""Beside the references, which all conversions of an export share: one locks it while it needs the most memory, some share
it while they need much."""
PROVING = 2
"""Golden images on which the rewrites of a conversion are proven."""


def convert(
    checkpoint: Path,
    quantized: Path | None,
    references: Path,
    artifact: Artifact,
    into: Path,
    progress: Progress,
    threads: int | None = None,
) -> Exported:
    """Write the model file of `artifact`, into `into`: of the checkpoint with what `quantized` holds, if any.

    torch computes with so many `threads`, by default with all cores.
    """
    import torch

    import converters
    import targets
    from converters.order import Order
    from edgevit.vit.model import merged

    compute_with(threads)
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
        alone=partial(_locked, references.parent / ALONE, fcntl.LOCK_EX),
        beside=partial(_locked, references.parent / ALONE, fcntl.LOCK_SH),
        once=partial(_once, references.parent, _model_in_words(artifact)),
    )  # fmt: skip
    made = converters.convert(place.converter, order, into, progress)
    made = islands.fitting(made, artifact.target, order, _looked_at(order, golden), into, progress)
    counted = targets.delegation(artifact.target, into / made.file)
    return dataclasses.replace(made, delegation=counted) if counted else made


def _looked_at(order: Order, golden: np.ndarray) -> np.ndarray:
    """The images, as the file takes them, on which values too large for float16 are looked for."""
    images = golden if order.seen is None else np.concatenate([golden, order.seen[:GOLDEN_IMAGES].numpy()])
    return denormalise(images, order.preprocess) if order.pixels else images


def compute_with(threads: int | None) -> None:
    """From now on torch computes with so many; None: as it did, with all cores. What OMP_NUM_THREADS says stands."""
    import torch

    if threads is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _locked(file: Path, how: int) -> Iterator[None]:
    """Hold the `file` as flock knows `how`: alone, or with others that share it. A process that dies lets it go."""
    with file.open("wb") as lock:
        fcntl.flock(lock, how)
        yield


def _once(shared: Path, model: str, words: str, measure: Callable[[], list[float]]) -> list[float]:
    """What another conversion of this export has measured of the same model, from the folder `shared`, to the bit.

    Where none has, it is measured, and left for the next.
    """
    file = shared / f"measured-{hashlib.sha256(f'{model}: {words}'.encode()).hexdigest()}.json"
    if file.exists():
        return list(json.loads(file.read_text()))
    measured = measure()
    with tempfile.NamedTemporaryFile("w", dir=shared, suffix=".json", delete=False) as unfinished:  # another may write the same
        json.dump(measured, unfinished)
    os.replace(unfinished.name, file)
    return measured


def _model_in_words(artifact: Artifact) -> str:
    """The model that is converted, made of an export's checkpoint; not how it rounds activations, for proofs are in floats."""
    assert artifact.quantization
    return f"{artifact.quantization.name} {artifact.merges}"


def _seen(file: Path) -> Tensor | None:
    """The images to calibrate on, where the recipe left them."""
    import safetensors.torch

    return safetensors.torch.load_file(file)[IMAGES] if file.exists() else None


def dynamic(artifact: Artifact) -> bool:
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

            stored.read(quantized, model).put(model, dynamic(artifact))
        elif recipe.weights.bits == HALF:
            from quantize.apply import round_to_half

            round_to_half(model)
    except EdgevitError as error:
        raise QuantizeFailed(error.message, error.hint) from error


def quantizes(artifact: Artifact) -> bool:
    return bool(artifact.quantization and artifact.quantization.quantizes)


def as_converted(checkpoint: Path, artifact: Artifact) -> ViT:
    """The model as it was converted: the checkpoint's with the artifact's merges, and its integers or palettes."""
    from edgevit.vit.model import merged

    model = merged(checkpoints.load(checkpoint)[1], artifact.merges)
    if quantizes(artifact):
        _put(model, artifact, artifact.folder / artifacts.QUANTIZED)
    return model
