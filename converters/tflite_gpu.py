"""TFLite for the GPU delegate: rank 4 throughout, maps as convolutions, channels last from the input on."""

from __future__ import annotations

from pathlib import Path

from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

from converters.flatbuffer import nodes
from converters.gpu_rules import judged
from converters.order import Order
from converters.products import lift_products
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.norms import CENTRED_STREAM, FOLDED_AFFINE, MAPPED_NORM
from converters.rewrite.rank4 import CONVOLVED_MAPS, RANK_4
from converters.tflite import FILE, export, store
from converters.uint8_input import take_pixels
from edgevit.types import Exported, Progress

REWRITES = (
    *CONSTANTS, SPELT_OUT_GELU, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, MAPPED_NORM,
    FOLDED_AFFINE, CENTRED_STREAM, RANK_4, CONVOLVED_MAPS,
)  # fmt: skip


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    path = into / FILE
    progress("re-authoring", 0, 3)
    authored, rewrites = order.rewritten(REWRITES)
    progress("converting to TFLite", 1, 3)
    export(order, authored, path)
    lift_products(path)
    if order.pixels:
        take_pixels(path)
    if order.recipe.name == "fp16":
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
