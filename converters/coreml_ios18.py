"""Core ML (mlprogram, iOS 18): attention stays one operator, `scaled_dot_product_attention`.

No rewrite may give it a scale of its own: coremltools then takes the operator apart (apple/coremltools#2864).
"""

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
    return mlprogram.convert(model, recipe, images, into, progress, REWRITES, "iOS18", islands)
