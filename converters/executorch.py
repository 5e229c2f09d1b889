"""ExecuTorch with XNNPACK: the ViT re-authored so that the delegate takes it whole."""

from __future__ import annotations

from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.devtools.backend_debug import get_delegation_info
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor

from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.attention import BATCHED_ATTENTION, LAST_BLOCK_ASKS_LESS, Q_K_V_APART
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.norms import FOLDED_AFFINE, MAPPED_NORM
from converters.rewrite.rewriting import rewritten
from edgevit.types import Delegation, Exported, Progress, QuantRecipe
from edgevit.vit.model import ViT

FILE = "model.pte"
REWRITES = (
    *CONSTANTS, SPELT_OUT_GELU, SLICED_ANSWERS, Q_K_V_APART, LAST_BLOCK_ASKS_LESS, BATCHED_ATTENTION, MAPPED_NORM, FOLDED_AFFINE,
)  # fmt: skip


def convert(model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress) -> Exported:
    height, width = model.config.image_size
    progress("re-authoring", 0, 3)
    authored, rewrites = rewritten(model, REWRITES, images)
    exported = torch.export.export(authored, (torch.zeros(1, 3, height, width),))
    progress("lowering to XNNPACK", 1, 3)
    edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    info = get_delegation_info(edge.exported_program().graph_module)
    progress("writing the program", 2, 3)
    (into / FILE).write_bytes(edge.to_executorch().buffer)
    progress("writing the program", 3, 3)
    counts = (info.num_delegated_subgraphs, info.num_delegated_nodes, info.num_non_delegated_nodes)
    return Exported(FILE, Delegation(*counts), rewrites)
