"""TFLite for the GPU delegate: rank 4 throughout, maps as convolutions, channels last from the input on."""

from __future__ import annotations

from pathlib import Path

from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager
from torch import Tensor

from converters.flatbuffer import nodes
from converters.gpu_rules import judged
from converters.products import lift_products
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.norms import CENTRED_STREAM, FOLDED_AFFINE, MAPPED_NORM
from converters.rewrite.rank4 import CONVOLVED_MAPS, RANK_4
from converters.rewrite.rewriting import rewritten
from converters.tflite import FILE, export, store
from edgevit.types import Exported, Progress, QuantRecipe
from edgevit.vit.model import ViT

REWRITES = (
    *CONSTANTS, SPELT_OUT_GELU, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, MAPPED_NORM,
    FOLDED_AFFINE, CENTRED_STREAM, RANK_4, CONVOLVED_MAPS,
)  # fmt: skip


def convert(model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress) -> Exported:
    path = into / FILE
    progress("re-authoring", 0, 3)
    authored, rewrites = rewritten(model, REWRITES, images)
    progress("converting to TFLite", 1, 3)
    export(authored, path)
    lift_products(path)
    if recipe.name == "fp16":
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
