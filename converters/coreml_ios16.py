"""Core ML (mlprogram, iOS 16): the operators of that system's version, and weights compressed as it knows them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from converters import coreml, mlprogram
from edgevit.types import Exported, Island, Progress, QuantRecipe
from edgevit.vit.model import ViT

REWRITES = coreml.REWRITES


def convert(
    model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress, islands: tuple[Island, ...] = ()
) -> Exported:
    return mlprogram.convert(model, recipe, images, into, progress, REWRITES, "iOS16", islands)
