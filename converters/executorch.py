"""ExecuTorch with XNNPACK: the ViT re-authored so that the delegate takes it whole."""

from __future__ import annotations

from pathlib import Path

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

from converters import static
from converters.lowering import FILE, lower
from converters.order import Order
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import BATCHED_ATTENTION, KEYS_TURNED_ONCE, LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.merging import MERGED_BY_MAPS
from converters.rewrite.norms import CENTRED_STREAM, FOLDED_AFFINE, MAPPED_NORM
from converters.rewrite.parts import Authored, Showing
from converters.rewrite.rewriting import rewritten
from edgevit.types import Delegation, Exported, Progress

REWRITES = (
    *CONSTANTS, MERGED_BY_MAPS, SPELT_OUT_GELU, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, BATCHED_ATTENTION,
    KEYS_TURNED_ONCE, MAPPED_NORM, FOLDED_AFFINE, CENTRED_STREAM,
)  # fmt: skip


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    progress("re-authoring", 0, 3)
    authored, rewrites = order.rewritten(REWRITES)
    return Exported(FILE, _lower(authored, order, into, progress), rewrites)


def show(order: Order, into: Path, progress: Progress) -> Path:
    """A program like that of `convert`, which gives the tensor behind every stage besides: what a delegate keeps to itself."""
    _lower(Showing.of(rewritten(order.model, REWRITES, order.images)[0]), order, into, progress)
    return into / FILE


def _lower(authored: Authored, order: Order, into: Path, progress: Progress) -> Delegation:
    computed = static.graph(authored) if order.recipe.activations == "static" else authored
    return lower(computed, order, XnnpackPartitioner(), "XNNPACK", into, progress)
