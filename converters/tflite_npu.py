"""TFLite for NPUs: the file of target tflite with static int8, and integers in all that it leaves in floats."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from converters import flatbuffer, integer_graph, tflite
from converters.rewrite.merging import MERGED_BY_PRODUCTS
from converters.tflite import FILE, write
from edgevit.errors import EdgevitError
from edgevit.types import Delegation, Exported, Progress, QuantRecipe
from edgevit.vit.model import ViT

REWRITES = tuple(rewrite for rewrite in tflite.REWRITES if rewrite is not MERGED_BY_PRODUCTS)
IMAGES = 64
"""Of those to calibrate on, at most: plain kernels take a tenth of a second for each (Ti/16 at 224)."""
COUNTED = "operators that compute in integers alone; what an NPU takes of them is for its driver to say"


def convert(
    model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress, seen: Tensor | None = None
) -> Exported:
    """`seen` (n, 3, H, W) are images to calibrate on."""
    path = into / FILE
    if seen is None or model.entering is None:
        raise EdgevitError(f"{recipe.name} has no ranges of activations")
    rewrites = write(model, recipe, images, path, progress, REWRITES)
    progress("computing in integers", 2, 3)
    scale, zero = model.entering.single
    chosen = seen[:: -(-len(seen) // IMAGES)].permute(0, 2, 3, 1)
    integer_graph.complete(path, (chosen / scale + zero).round().clamp(-128, 127).char().numpy()[:, None])
    progress("computing in integers", 3, 3)
    return Exported(FILE, counted(path), rewrites)


def counted(path: Path) -> Delegation:
    """Operators in integers as inside, those with floats as outside."""
    floats = integer_graph.floats(path)
    named = f"; in floats: {', '.join(sorted(set(floats)))}" if floats else ""
    return Delegation(None, len(flatbuffer.nodes(path)) - len(floats), len(floats), COUNTED + named)
