"""A model to an ExecuTorch program by whichever delegate, and how much of it that delegate took."""

from __future__ import annotations

from pathlib import Path

import torch
from executorch.devtools.backend_debug import get_delegation_info
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from executorch.exir.backend.partitioner import Partitioner
from torch import Tensor, nn

import edgevit
from converters import operators
from converters.order import Order
from converters.unrepeated import unrepeated
from edgevit import methods
from edgevit.types import Delegation, Described, Progress
from edgevit.versions import version

FILE = "model.pte"
UNCHECKED = EdgeCompileConfig(_check_ir_validity=False)
"""Whether each pass left a valid graph is not looked at: the program that comes out is run, and its nodes are counted."""


class FromPixels(nn.Module):
    """`model` for pixels (1, H, W, 3) uint8."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixels.float().permute(0, 3, 1, 2))


def lower(model: nn.Module, order: Order, partitioner: Partitioner, delegate: str, into: Path, progress: Progress) -> Delegation:
    """Write the program of one image, float32 (1, 3, H, W) or uint8 (1, H, W, 3), to what is ordered, to the folder `into`.

    Its constant methods say what it is (`edgevit.methods`), and the operators that it calls are listed beside it. The call of a
    delegate counts as a node outside of it.
    """
    exported, constants = _exported(model, order), methods.written(described(order))
    progress(f"lowering to {delegate}", 1, 3)
    with unrepeated():
        edge = to_edge_transform_and_lower(
            exported, partitioner=[partitioner], constant_methods=constants, compile_config=UNCHECKED
        )
        info = get_delegation_info(edge.exported_program().graph_module)
        progress("writing the program", 2, 3)
        program = edge.to_executorch()
    with (into / FILE).open("wb") as file:
        program.write_to_file(file)
    plans = program.executorch_program.execution_plan
    operators.write(into / FILE, (delegate.id for plan in plans for delegate in plan.delegates))
    progress("writing the program", 3, 3)
    return Delegation(info.num_delegated_subgraphs, info.num_delegated_nodes, info.num_non_delegated_nodes)


def described(order: Order) -> Described:
    """What a program of that order says of itself."""
    made_by = {"edgevit": edgevit.__version__, "executorch": version("executorch") or ""}
    return Described(order.labels, order.preprocess, order.input, made_by)


def _exported(model: nn.Module, order: Order) -> torch.export.ExportedProgram:
    height, width = order.model.config.image_size
    answering = order.answering(model)
    if order.pixels:
        return torch.export.export(FromPixels(answering), (torch.zeros(1, height, width, 3, dtype=torch.uint8),))
    return torch.export.export(answering, (torch.zeros(1, 3, height, width),))
