"""Training in a child, with what a recipe asks of the model where it is to see its rounding."""

from __future__ import annotations

from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit.training import fit as training
from edgevit.types import Checkpoint, Progress, TrainConfig
from edgevit.vit.model import ViT


def fit(train: TrainConfig, run: Path, resume: bool, progress: Progress) -> Checkpoint:
    """`training.fit.fit`; a model that is trained for a recipe is rounded as that says in every step and in every evaluation."""
    settings = (checkpoints.read(run / "last").train if resume else None) or train
    return training.fit(train, run, resume, progress, _prepared(settings.quantize) if settings.quantize else None)


def _prepared(name: str) -> training.Prepare:
    import quantize
    from quantize import qat

    recipe = quantize.get(name)

    def prepare(model: ViT) -> None:
        qat.prepare(model, recipe)

    return prepare
