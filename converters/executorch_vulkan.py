"""ExecuTorch with Vulkan, for the GPU of a phone. LayerNorm and softmax stay operators, which the delegate has of its own.

It holds no recipe of integers: its Linears compute with 4-bit groups or with static activations alone. Other integers it would
store, and turn back into floats for every image.
"""

from __future__ import annotations

from pathlib import Path

from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

from converters.lowering import FILE, lower
from converters.order import Order
from converters.rewrite.activations import TANH_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import BATCHED_ATTENTION, LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from edgevit.types import Exported, Progress

REWRITES = (*CONSTANTS, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, BATCHED_ATTENTION, TANH_GELU)


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    progress("re-authoring", 0, 3)
    authored, rewrites = order.rewritten(REWRITES)
    partitioner = VulkanPartitioner({"force_fp16": order.recipe.name == "fp16"})
    return Exported(FILE, lower(authored, order, partitioner, "Vulkan", into, progress), rewrites)
