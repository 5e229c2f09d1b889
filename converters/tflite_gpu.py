"""TFLite for the GPU delegate: rank 4 throughout, maps as convolutions, channels last from the input on."""

from __future__ import annotations

from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager
from torch import Tensor, nn

from converters.flatbuffer import nodes
from converters.gpu_rules import judged
from converters.products import lift_products
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.norms import FOLDED_AFFINE, MAPPED_NORM
from converters.rewrite.rank4 import CONVOLVED_MAPS, RANK_4
from converters.rewrite.rewriting import rewritten
from converters.tflite import FILE, store
from edgevit.types import Exported, Progress, QuantRecipe
from edgevit.vit.model import ViT

REWRITES = (
    *CONSTANTS, SPELT_OUT_GELU, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, MAPPED_NORM, FOLDED_AFFINE,
    RANK_4, CONVOLVED_MAPS,
)  # fmt: skip


class ChannelsLast(nn.Module):
    """`model` for images (1, H, W, 3), as an app has them: no transposition before the first convolution."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.permute(0, 3, 1, 2))


def convert(model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress) -> Exported:
    height, width = model.config.image_size
    path = into / FILE
    progress("re-authoring", 0, 3)
    authored, rewrites = rewritten(model, REWRITES, images)
    progress("converting to TFLite", 1, 3)
    litert_torch.convert(ChannelsLast(authored).eval(), (torch.zeros(1, height, width, 3),)).export(str(path))
    lift_products(path)
    if recipe.weights.bits == 16:
        progress("storing halves", 2, 3)
        _store_halves(path)
    delegation = judged(nodes(path))
    progress("judging by the delegate's rules", 3, 3)
    return Exported(FILE, delegation, rewrites)


def _store_halves(path: Path) -> None:
    """Weights of the convolutions as float16, each widened before its use: the delegate takes the halves as they are."""
    recipe = recipe_manager.RecipeManager()
    halves = algorithm_manager.AlgorithmName.FLOAT_CASTING
    recipe.add_weight_only_config(".*", qtyping.TFLOperationName.CONV_2D, 16, algorithm_key=halves)
    store(path, recipe)
