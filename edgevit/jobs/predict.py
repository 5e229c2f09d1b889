"""The answers to single images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.data.decoding import open_image
from edgevit.data.preprocess import normalise, pixels
from edgevit.errors import BadInput, EdgevitError
from edgevit.jobs.answers import load, require_head, torch_runner
from edgevit.types import Prediction, Preprocess, Progress


def predict(model: Path, images: tuple[Path, ...], top: int, progress: Progress) -> list[Prediction]:
    """The `top` likeliest classes of each image, by an artifact or a checkpoint."""
    if (model / artifacts.RECORD).is_file():
        artifact = artifacts.verify(artifacts.read(model))
        assert artifact.preprocess
        runner, preprocess, labels = load(artifact), artifact.preprocess, artifact.labels
    else:
        record, vit = checkpoints.load(model)
        require_head(record)
        runner, preprocess, labels = torch_runner(vit), record.preprocess, record.labels
    found = []
    for number, image in enumerate(images):
        logits = runner(one_image(image, preprocess))[0].astype(np.float64)
        if not np.isfinite(logits).all():
            raise EdgevitError(f"{model} answers with what is no number: {image}", "edgevit check says how often it does")
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        best = scores.argsort()[::-1][:top]
        names = tuple(labels[i] for i in best)
        found.append(Prediction(str(image), names, tuple(float(scores[i]) for i in best), runner.where))
        progress("predicting", number + 1, len(images))
    return found


def one_image(path: Path, preprocess: Preprocess) -> np.ndarray:
    """The image in a file as a model takes it, (1, 3, H, W)."""
    if not path.is_file():
        raise BadInput(f"no such image: {path}")
    return normalise(pixels(open_image(path), preprocess)[None], preprocess)
