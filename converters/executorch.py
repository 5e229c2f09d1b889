"""ExecuTorch with XNNPACK: the ViT re-authored so that the delegate takes it whole."""

from __future__ import annotations

from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.devtools.backend_debug import get_delegation_info
from executorch.exir import to_edge_transform_and_lower

from converters import Converted
from converters.rewrite import for_xnnpack
from edgevit.types import Delegation, Progress, QuantRecipe
from edgevit.vit.model import ViT

FILE = "model.pte"


def convert(model: ViT, recipe: QuantRecipe, into: Path, progress: Progress) -> Converted:
    height, width = model.config.image_size
    progress("re-authoring", 0, 3)
    exported = torch.export.export(for_xnnpack(model), (torch.zeros(1, 3, height, width),))
    progress("lowering to XNNPACK", 1, 3)
    edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    info = get_delegation_info(edge.exported_program().graph_module)
    progress("writing the program", 2, 3)
    (into / FILE).write_bytes(edge.to_executorch().buffer)
    progress("writing the program", 3, 3)
    counts = (info.num_delegated_subgraphs, info.num_delegated_nodes, info.num_non_delegated_nodes)
    return Converted(FILE, Delegation(*counts))
