"""ExecuTorch with Vulkan on the GPU of a phone. Here it runs where ExecuTorch was built with Vulkan, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from edgevit.types import Footprint, Library, Target, Tolerance
from targets.executorch import ExecutorchRunner
from targets.program import described as described
from targets.tolerances import FP16

TARGET = Target(
    name="executorch-vulkan",
    summary="ExecuTorch, Vulkan delegate: GPU of Android",
    converter="executorch-vulkan",
    suffix=".pte",
    runtime="ExecuTorch built with Vulkan (its published packages are not)",
    recipes={"fp32": Tolerance(0.002, 0.005, 0.995), "fp16": FP16},  # a GELU in its tanh form: 2e-4
    activations=(),
    needs=(Library("executorch", "executorch"), Library("torchao", "executorch")),
    footprint=Footprint(460 << 20, 2.2),
    seconds=(18.0, 18.0),
    max_subgraphs=1,
    max_outside=1,  # the call of the delegate itself
    pixels_outside=1,  # the cast of pixels to floats
    by_name_only="the published packages of ExecuTorch hold no Vulkan, so its answers would stay unchecked",
    merges=False,
    apps=("python-executorch", "kotlin-executorch", "cpp-executorch"),
)


def load(file: Path, threads: int | None) -> ExecutorchRunner:
    return ExecutorchRunner(file, threads, "VulkanBackend")
