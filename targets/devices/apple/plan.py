"""Which unit Core ML means to run each operator on: its compute plan, asked through coremltools."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgevit.errors import DeviceFault
from edgevit.lean import COREML_EXTRAS, without
from edgevit.types import Placed, Unit
from targets.coreml import UNITS
from targets.devices.apple.order import Order

with without(*COREML_EXTRAS):
    import coremltools
    from coremltools.models import compute_device
    from coremltools.models.ml_program.experimental import compute_plan_utils

NAMES = {
    Unit.CPU: UNITS["coreml-cpu"],
    Unit.GPU: UNITS["coreml-gpu"],
    Unit.NPU: UNITS["coreml-ane"],
    Unit.ALL: UNITS["coreml-all"],
}
"""coremltools' names. The CPU takes what the GPU or the Neural Engine does not."""
KINDS = (
    (compute_device.MLCPUComputeDevice, Unit.CPU),
    (compute_device.MLGPUComputeDevice, Unit.GPU),
    (compute_device.MLNeuralEngineComputeDevice, Unit.NPU),
)


def units(unit: Unit) -> Any:
    return coremltools.ComputeUnit[NAMES[unit]]


async def placed(order: Order, phone: Any) -> tuple[Placed, ...]:
    """Every operator that the plan of the main function places, in its order; constants have no place. Raises DeviceFault."""
    assert order.model is not None
    with tempfile.TemporaryDirectory(prefix="edgevit-") as folder:
        compiled = coremltools.models.utils.compile_model(str(order.model.file), str(Path(folder) / "model.mlmodelc"))
        plan = await compute_plan_utils.load_compute_plan_from_path_on_device(
            path=compiled, compute_units=units(order.asked.unit), device=phone
        )
        program = plan.model_structure.program
        if program is None or "main" not in program.functions:
            raise DeviceFault("Core ML's plan is of no program with a function main")
        return tuple(_placed(plan, _operations(program.functions["main"].block)))


def _operations(block: Any) -> Iterator[Any]:
    """Those of loops and branches too."""
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)


def _placed(plan: Any, operations: Iterable[Any]) -> Iterator[Placed]:
    for operation in operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None:
            continue
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        kind = operation.operator_name.rpartition(".")[2]  # "ios17.softmax"
        name = operation.outputs[0].name if operation.outputs else ""
        yield Placed(kind, name, _unit(usage.preferred_compute_device), None if cost is None else float(cost.weight))


def _unit(device: Any) -> Unit:
    for kind, unit in KINDS:
        if isinstance(device, kind):
            return unit
    raise DeviceFault(f"Core ML's plan names a unit that is not known: {type(device).__name__}")
