"""A checkpoint and a recipe to integers or palettes, once for all targets."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import folder
from edgevit.data import unlabelled
from edgevit.data.loading import Loader
from edgevit.errors import BadInput, DamagedFile, EdgevitError, QuantizeFailed
from edgevit.jobs.answers import BATCH, images
from edgevit.types import Calibration, Checkpoint, Preprocess, Progress, QuantRecipe

if TYPE_CHECKING:
    from edgevit.vit.model import ViT
    from edgevit.vit.static import Rounding
    from quantize.quantized import Quantized

SEEN, IMAGES = "calibration.safetensors", "images"
"""Beside what a recipe of static activations made: what it was calibrated on, (n, 3, H, W)."""


def quantize(checkpoint: Path, recipe: QuantRecipe, calibration: Calibration | None, into: Path, progress: Progress) -> int:
    """Write what `recipe` makes of the checkpoint into `into`; how many images it looked at. Raises BadInput, QuantizeFailed."""
    import safetensors.torch
    import torch

    from quantize.apply import quantized

    record, model = checkpoints.load(checkpoint)
    seen = torch.from_numpy(calibration_images(record, calibration, progress)) if calibration else None
    try:
        made = quantized(model, recipe, seen, progress)
        if made.roundings and seen is not None:
            made = dataclasses.replace(made, images=_pixels(record.preprocess))
            safetensors.torch.save_file({IMAGES: seen}, into / SEEN)
        made.save(into / artifacts.QUANTIZED)
    except EdgevitError:
        raise
    except Exception as error:
        raise QuantizeFailed(f"{type(error).__name__}: {error}") from error
    return 0 if seen is None else len(seen)


def as_learned(checkpoint: Path, into: Path, progress: Progress) -> int:
    """`quantize` for the recipe that the checkpoint was trained for: its integers are there. It looks at no images."""
    progress("quantizing: the integers that the checkpoint learned with", 0, None)
    record, model = checkpoints.load(checkpoint)
    learned(record, model).save(into / artifacts.QUANTIZED)
    return 0


def learned(record: Checkpoint, model: ViT) -> Quantized:
    """The integers that a checkpoint learned with. Raises DamagedFile where they are not those that it was saved with."""
    from quantize.quantized import read

    file = record.folder / checkpoints.QUANTIZED
    if not file.is_file() or folder.sha256(file) != record.quantized_sha256:
        raise DamagedFile(f"{file}: not the integers that the checkpoint learned with", "train it again")
    return read(file, model)


def _pixels(preprocess: Preprocess) -> Rounding:
    """Of images as they enter the model: from black to white."""
    from edgevit.vit.static import Rounding

    pairs = list(zip(preprocess.mean, preprocess.std, strict=True))
    return Rounding.between(min(-mean / std for mean, std in pairs), max((1 - mean) / std for mean, std in pairs))


def identity(checkpoint: Path, calibration: Calibration, progress: Progress) -> str:
    """sha256 of the calibration images as they reach the model."""
    return hashlib.sha256(calibration_images(checkpoints.read(checkpoint), calibration, progress).tobytes()).hexdigest()


def calibration_images(record: Checkpoint, calibration: Calibration, progress: Progress) -> np.ndarray:
    """The calibration images (n, 3, H, W). Raises BadInput where they are too much alike to learn from."""
    source, labelled = _source(record, calibration)
    chosen = _spread(len(source.images), calibration.images)
    taken = Loader(source.images.take(chosen), record.preprocess, calibration.data.on_bad)
    parts, classes = zip(*taken.normalised(BATCH, progress, "reading images to calibrate on"), strict=True)
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise BadInput(f"{calibration.data.spec}: an image to calibrate on holds no numbers")
    if labelled and len(record.labels) > 1 and len(set(np.concatenate(classes).tolist())) == 1:
        raise BadInput(f"{calibration.data.spec}: all images to calibrate on are of one class", "take some of every class")
    return found


def _source(record: Checkpoint, calibration: Calibration) -> tuple[Loader, bool]:
    """All images that are meant, and whether their classes are known."""
    spec = calibration.data.spec
    if unlabelled.recognises(spec):
        seed, held_out = (record.train.seed, record.train.held_out) if record.train else (0, 0.2)
        train, _ = unlabelled.open_unlabelled(spec, seed, held_out)
        return Loader(train, record.preprocess, calibration.data.on_bad), False
    return images(record, calibration.data), True


def _spread(there: int, wanted: int) -> list[int]:
    """`wanted` places among `there`, evenly."""
    return sorted({round(i) for i in np.linspace(0, there - 1, min(wanted, there))})
