"""TFLite for NPUs: the file of target tflite with static int8, and integers in all that it leaves in floats."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from converters import flatbuffer, integer_graph, tflite
from converters.order import Order
from converters.rewrite.merging import MERGED_BY_PRODUCTS
from converters.rewrite.pixels import Units
from converters.tflite import FILE, write
from converters.uint8_input import take_pixels
from edgevit.errors import EdgevitError
from edgevit.types import Delegation, Exported, Progress
from edgevit.vit.static import Rounding

REWRITES = tuple(rewrite for rewrite in tflite.REWRITES if rewrite is not MERGED_BY_PRODUCTS)
IMAGES = 64
"""Of those to calibrate on, at most: plain kernels take a tenth of a second for each (Ti/16 at 224)."""
COUNTED = "operators that compute in integers alone; what an NPU takes of them is for its driver to say"
LEAST = torch.tensor([-128], dtype=torch.int32)
PIXELS, PROBABILITIES = (Rounding(torch.tensor([scale]), LEAST) for scale in (1.0, 1 / 256))
"""Every pixel is an int8 of its own; what softmax gives, by TFLite's specification."""


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    path = into / FILE
    if order.seen is None or order.model.entering is None:
        raise EdgevitError(f"{order.recipe.name} has no ranges of activations")
    rewrites = write(order, path, progress, REWRITES, (PIXELS, PROBABILITIES) if order.pixels else None)
    progress("computing in integers", 2, 3)
    integer_graph.complete(path, _entering(order, order.seen).numpy()[:, None])
    if order.pixels:
        take_pixels(path)
    progress("computing in integers", 3, 3)
    return Exported(FILE, counted(path), rewrites)


def _entering(order: Order, seen: Tensor) -> Tensor:
    """Images to calibrate on as int8 (n, H, W, 3), as the file takes them."""
    chosen = seen[:: -(-len(seen) // IMAGES)]
    assert order.model.entering
    rounding = PIXELS if order.pixels else order.model.entering
    if order.pixels:
        chosen = Units.of(order.preprocess, 1, 0).undo(chosen)
    scale, zero = rounding.single
    return (chosen.permute(0, 2, 3, 1) / scale + zero).round().clamp(-128, 127).char()


def counted(path: Path) -> Delegation:
    """Operators in integers as inside, those with floats as outside."""
    floats = integer_graph.floats(path)
    named = f"; in floats: {', '.join(sorted(set(floats)))}" if floats else ""
    return Delegation(None, len(flatbuffer.nodes(path)) - len(floats), len(floats), COUNTED + named)
