"""TFLite by litert-torch. The floats of a recipe's grid are converted, and the recipe's integers take their place in the file."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import quantizer, recipe_manager
from torch import Tensor, nn
from torch.fx.experimental import proxy_tensor

from converters import integers, litert
from converters.linear import dequantized
from converters.order import Order
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import BATCHED_ATTENTION, LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.merging import MERGED_BY_PRODUCTS
from converters.rewrite.norms import CENTRED_STREAM, FOLDED_AFFINE, SPELT_OUT_NORM
from converters.rewrite.rewriting import Rewrite
from converters.uint8_input import take_pixels
from edgevit import memory
from edgevit.types import Delegation, Exported, Progress, Rewritten
from edgevit.vit.model import ViT
from edgevit.vit.static import Rounding, StaticLinear

FILE = "model.tflite"
REWRITES = (
    *CONSTANTS, MERGED_BY_PRODUCTS, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, BATCHED_ATTENTION, SPELT_OUT_NORM,
    FOLDED_AFFINE, CENTRED_STREAM,
)  # fmt: skip


Ends = tuple[Rounding | None, Rounding | None]
"""How a file takes its images and gives its answers as int8; None for floats."""


class ChannelsLast(nn.Module):
    """`model` for images (1, H, W, 3), as an app has them: no transposition before the first convolution."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.permute(0, 3, 1, 2))


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    path = into / FILE
    rewrites = write(order, path, progress)
    if order.pixels:
        take_pixels(path)
    progress("counting the delegate's share", 2, 3)
    with order.alone():
        delegation = count_delegation(path)
    progress("counting the delegate's share", 3, 3)
    return Exported(FILE, delegation, rewrites)


def write(
    order: Order, path: Path, progress: Progress, rewrites: tuple[Rewrite, ...] = REWRITES, ends: Ends | None = None
) -> tuple[Rewritten, ...]:
    """Write the file, in two of three steps, and return what was rewritten.

    The file takes and gives int8 as `ends` say, by default as the recipe does where it has tensors and logits at its ends.
    """
    progress("converting to TFLite", 0, 3)
    authored, done = order.rewritten(rewrites)
    stored = dequantized(authored) if order.recipe.quantizes else authored
    export(order, stored, path)
    del stored
    _let_go()
    if order.recipe.quantizes:
        progress("storing the integers", 1, 3)
        with order.alone():
            integers.store(authored, path, *(ends or _ends(order)))
    return done


def _let_go() -> None:
    """Free the floats that were converted: torch keeps what it traced, for its messages, and what follows takes memory again."""
    proxy_tensor._FAKE_TENSOR_ID_TO_PROXY_MAP_FOR_EXPORT.clear()
    gc.collect()
    memory.trim()


def _ends(order: Order) -> Ends:
    return (None, None) if order.pixels else (order.model.entering, _answers(order.model))


def _answers(model: ViT) -> Rounding | None:
    """How the file gives its logits as int8: as its heads do, or their mean; None where they give floats."""
    ends = [head.leaving.ends for head in model.heads() if isinstance(head, StaticLinear)]
    if not ends or len(ends) < len(model.heads()):
        return None
    return Rounding.between(*(sum(each) / len(each) for each in zip(*ends, strict=True)))


def export(order: Order, model: nn.Module, path: Path) -> None:
    """Write the file that takes one image (1, H, W, 3) float32, of `model`, which was rewritten as ordered.

    The light conversion keeps the weights out of the graph that its passes copy: half a gigabyte less for a B/16.
    """
    example = (torch.zeros(1, *order.model.config.image_size, 3),)
    with _recursion_as_it_was():
        made = litert_torch.convert(ChannelsLast(order.answering(model)).eval(), example, lightweight_conversion=True)
    with order.alone():
        made.export(str(path))


@contextlib.contextmanager
def _recursion_as_it_was() -> Iterator[None]:
    """The light conversion raises Python's limit for good: a hostile file would then overflow the stack and not raise."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def store(path: Path, recipe: recipe_manager.RecipeManager) -> None:
    """Change the file as the recipe of ai-edge-quantizer says."""
    job = quantizer.Quantizer(str(path))
    job.load_quantization_recipe(recipe.get_quantization_recipe())
    quantized = job.quantize().quantized_model
    assert quantized is not None
    path.write_bytes(quantized)


def count_delegation(path: Path) -> Delegation:
    """What LiteRT's XNNPACK delegate takes of the file on this machine."""
    found = litert.taken(path)
    return Delegation(found.subgraphs, found.nodes, sum(count for _, count in found.left))
