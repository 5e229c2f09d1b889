"""The checkpoint's own answers on the chosen images, which every artifact is compared with, and the golden batch among them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.artifact import Golden
from edgevit.data.loading import Loader
from edgevit.jobs.answers import BATCH, loader, outputs, torch_runner
from edgevit.types import DataChoice, Progress, Runner

GOLDEN_IMAGES = 16
REFERENCE, ORIGIN = "reference.safetensors", "origin.safetensors"
"""The checkpoint's logits on the chosen images, and their classes; those of the checkpoint that taught it."""


def reference(checkpoint: Path, origin: Path | None, data: DataChoice, into: Path, progress: Progress) -> int:
    """Write the checkpoint's logits on the chosen images, and the golden batch, for every artifact to be compared with.

    Those of its `origin`, the checkpoint in float that it began from, besides. Returns the number of images.
    """
    record, model = checkpoints.load(checkpoint)
    chosen = loader(record, data)
    logits, classes = _write_answers(into / REFERENCE, torch_runner(model), chosen, progress, "answers of the checkpoint")
    if origin:
        other, floats = checkpoints.load(origin)
        _write_answers(into / ORIGIN, torch_runner(floats), loader(other, data), progress, "answers of its origin")
    images = Loader(chosen.images.take(_spread(_readable(chosen))), record.preprocess)
    golden, golden_classes = (np.concatenate(parts) for parts in zip(*images.normalised(BATCH), strict=True))
    artifacts.write_golden(into, Golden(golden, golden_classes, logits[golden_rows(chosen)]))
    return len(classes)


def golden_rows(chosen: Loader) -> list[int]:
    """Which of the images that could be read are the golden ones, of a loader that has read all it can."""
    readable = _readable(chosen)
    rows = {place: row for row, place in enumerate(readable)}
    return [rows[place] for place in _spread(readable)]


def _write_answers(file: Path, runner: Runner, chosen: Loader, progress: Progress, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Write and return the logits and the true classes of all images that could be read."""
    import safetensors.numpy

    logits, classes = outputs(runner, chosen, progress, label)
    file.write_bytes(safetensors.numpy.save({"logits": logits, "classes": classes}))
    return logits, classes


def _readable(chosen: Loader) -> dict[int, int]:
    """The class of each image that could be read, by its position."""
    skipped = set(chosen.skipped)
    pairs = enumerate(zip(chosen.images.names, chosen.images.classes.tolist(), strict=True))
    return {i: number for i, (name, number) in pairs if name not in skipped}


def _spread(classes: Mapping[int, int]) -> list[int]:
    """Positions of the golden images, by the class of each: the first of each class in turn, then the second, and so on."""
    seen: Counter[int] = Counter()
    ranked = []
    for i, number in classes.items():
        ranked.append((seen[number], i))
        seen[number] += 1
    ranked.sort()
    return [i for _, i in ranked[:GOLDEN_IMAGES]]


def identity(checkpoint: Path, data: DataChoice, progress: Progress) -> str:
    """sha256 of the chosen images as they reach the model: their pixels, names, classes, and which cannot be read."""
    chosen = loader(checkpoints.read(checkpoint), data)
    digest = hashlib.sha256()
    for pixels, classes in chosen.batches(BATCH, progress, "reading images"):
        digest.update(hashlib.sha256(pixels.tobytes()).digest() + hashlib.sha256(classes.tobytes()).digest())
    words = [chosen.split, list(chosen.images.names), sorted(chosen.skipped)]
    digest.update(json.dumps(words).encode())
    return digest.hexdigest()
