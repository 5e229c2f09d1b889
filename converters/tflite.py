"""TFLite by litert-torch. The floats of a recipe's grid are converted, and the recipe's integers take their place in the file."""

from __future__ import annotations

from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import quantizer, recipe_manager
from torch import Tensor, nn

from converters import integers, litert
from converters.linear import dequantized
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import BATCHED_ATTENTION, LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.merging import MERGED_BY_PRODUCTS
from converters.rewrite.norms import CENTRED_STREAM, FOLDED_AFFINE, SPELT_OUT_NORM
from converters.rewrite.parts import Authored
from converters.rewrite.rewriting import Rewrite, rewritten
from edgevit.types import Delegation, Exported, Progress, QuantRecipe, Rewritten
from edgevit.vit.model import ViT
from edgevit.vit.static import Rounding, StaticLinear

FILE = "model.tflite"
REWRITES = (
    *CONSTANTS, MERGED_BY_PRODUCTS, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, BATCHED_ATTENTION, SPELT_OUT_NORM,
    FOLDED_AFFINE, CENTRED_STREAM,
)  # fmt: skip


class ChannelsLast(nn.Module):
    """`model` for images (1, H, W, 3), as an app has them: no transposition before the first convolution."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.permute(0, 3, 1, 2))


def convert(model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress) -> Exported:
    path = into / FILE
    rewrites = write(model, recipe, images, path, progress)
    progress("counting the delegate's share", 2, 3)
    delegation = count_delegation(path)
    progress("counting the delegate's share", 3, 3)
    return Exported(FILE, delegation, rewrites)


def write(
    model: ViT, recipe: QuantRecipe, images: Tensor, path: Path, progress: Progress, rewrites: tuple[Rewrite, ...] = REWRITES
) -> tuple[Rewritten, ...]:
    """Write the file, in two of three steps, and return what was rewritten."""
    progress("converting to TFLite", 0, 3)
    authored, done = rewritten(model, rewrites, images)
    export(dequantized(authored) if recipe.quantizes else authored, path)
    if recipe.quantizes:
        progress("storing the integers", 1, 3)
        integers.store(authored, path, model.entering, _answers(model))
    return done


def _answers(model: ViT) -> Rounding | None:
    """How the file gives its logits as int8: as its heads do, or their mean; None where they give floats."""
    ends = [head.leaving.ends for head in model.heads() if isinstance(head, StaticLinear)]
    if not ends or len(ends) < len(model.heads()):
        return None
    return Rounding.between(*(sum(each) / len(each) for each in zip(*ends, strict=True)))


def export(model: Authored, path: Path) -> None:
    """Write the file that takes one image (1, H, W, 3) float32."""
    height, width = model.config.image_size
    litert_torch.convert(ChannelsLast(model).eval(), (torch.zeros(1, height, width, 3),)).export(str(path))


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
