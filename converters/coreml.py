"""Core ML (mlprogram, iOS 17). LayerNorm stays the operator that Core ML has of its own.

Attention, whose operator comes with iOS 18, becomes products and a softmax.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from converters import mlprogram
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.merging import MERGED_BY_PRODUCTS
from edgevit.types import Exported, Island, Progress, QuantRecipe
from edgevit.vit.model import ViT

REWRITES = (*CONSTANTS, MERGED_BY_PRODUCTS, SPELT_OUT_GELU, SLICED_ANSWERS)


def convert(
    model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress, islands: tuple[Island, ...] = ()
) -> Exported:
    return mlprogram.convert(model, recipe, images, into, progress, REWRITES, "iOS17", islands)
