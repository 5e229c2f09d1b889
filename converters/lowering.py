"""A model to an ExecuTorch program by whichever delegate, and how much of it that delegate took."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from executorch.devtools.backend_debug import get_delegation_info
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.backend.partitioner import Partitioner
from torch import nn
from torch.fx.traceback import NodeSource

from edgevit.types import Delegation, Progress

FILE = "model.pte"


def lower(
    model: nn.Module, size: tuple[int, int], partitioner: Partitioner, delegate: str, into: Path, progress: Progress
) -> Delegation:
    """Write the program of one image (1, 3, H, W) float32, (H, W) being `size`, to logits (1, classes) to the folder `into`.

    The call of a delegate counts as a node outside of it.
    """
    exported = torch.export.export(model, (torch.zeros(1, 3, *size),))
    progress(f"lowering to {delegate}", 1, 3)
    with _shared_provenance():
        edge = to_edge_transform_and_lower(exported, partitioner=[partitioner])
        info = get_delegation_info(edge.exported_program().graph_module)
        progress("writing the program", 2, 3)
        (into / FILE).write_bytes(edge.to_executorch().buffer)
    progress("writing the program", 3, 3)
    return Delegation(info.num_delegated_subgraphs, info.num_delegated_nodes, info.num_non_delegated_nodes)


@contextlib.contextmanager
def _shared_provenance() -> Iterator[None]:
    """While it lasts, what torch notes of a node's origin is shared and not copied.

    Each of some sixty passes makes every node anew and copies all that the earlier ones noted of it: a fifth of the time of
    an int8 lowering (docs/log.md). Nothing changes a note once it is written.
    """
    NodeSource.__deepcopy__ = lambda source, memo: source  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del NodeSource.__deepcopy__  # type: ignore[attr-defined]
