"""Core ML (mlprogram, iOS 17) in the layout that Apple asks for on its Neural Engine."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from converters import mlprogram
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import LAST_BLOCK_ASKS_LESS, Q_K_V_APART, SPLIT_HEADS
from converters.rewrite.channels import CHANNELS_FIRST
from converters.rewrite.constants import CONSTANTS
from edgevit.types import Exported, Island, Progress, QuantRecipe
from edgevit.vit.model import ViT

REWRITES = (*CONSTANTS, SPELT_OUT_GELU, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, SPLIT_HEADS, CHANNELS_FIRST)


def convert(
    model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress, islands: tuple[Island, ...] = ()
) -> Exported:
    return mlprogram.convert(model, recipe, images, into, progress, REWRITES, "iOS17", islands)
