"""Training in a child, with what a recipe asks of the model where it is to see its rounding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgevit import checkpoint as checkpoints
from edgevit.training import fit as training
from edgevit.types import Calibration, Checkpoint, Progress, QuantRecipe, TrainConfig
from edgevit.vit.model import ViT

if TYPE_CHECKING:
    from torch import Tensor


def fit(train: TrainConfig, run: Path, resume: bool, progress: Progress) -> Checkpoint:
    """`training.fit.fit`; a model that is trained for a recipe is rounded as that says in every step and in every evaluation."""

    def rounding(settings: TrainConfig, last: Checkpoint | None) -> Rounds | None:
        if not settings.quantize:
            return None
        import quantize

        return Rounds(quantize.get(settings.quantize), last, progress)

    return training.fit(train, run, resume, progress, rounding)


class Rounds:
    """As a recipe does with care, in a run that begins; with the integers of its `last` checkpoint, in one that goes on."""

    images = Calibration.IMAGES

    def __init__(self, recipe: QuantRecipe, last: Checkpoint | None, progress: Progress) -> None:
        self.recipe, self.last, self.progress = recipe, last, progress

    def prepare(self, model: ViT, images: Tensor) -> None:
        from edgevit.jobs.quantize import learned
        from quantize import qat
        from quantize.apply import quantized

        made = learned(self.last, model) if self.last else quantized(model, self.recipe, images, self.progress)
        qat.prepare(model, made, self.recipe.activations == "dynamic")

    def save(self, model: ViT, into: Path) -> None:
        from quantize import qat

        qat.learned(model).save(into / checkpoints.QUANTIZED)
