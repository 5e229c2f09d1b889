"""ExecuTorch with XNNPACK on the CPU of a phone; here, the same runtime on this machine's CPU."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from edgevit.errors import NoRuntime
from edgevit.types import Computed, Footprint, Library, Target
from targets.program import Program
from targets.program import described as described
from targets.tolerances import DYNAMIC, FP32

TARGET = Target(
    name="executorch",
    summary="ExecuTorch, XNNPACK delegate: CPU of Android, iOS, Linux",
    converter="executorch",
    suffix=".pte",
    runtime="ExecuTorch Python runtime",
    recipes={"fp32": FP32, **DYNAMIC},
    activations=("dynamic", "static"),
    needs=(Library("executorch", "executorch"), Library("torchao", "executorch")),
    footprint=Footprint(560 << 20, 2.08),
    seconds=(18.0, 27.0),
    max_subgraphs=1,
    max_outside=1,  # the call of the delegate itself
    pixels_outside=1,  # the cast of pixels to floats
    apps=("python-executorch", "kotlin-executorch", "cpp-executorch"),
)


class ExecutorchRunner:
    """A loaded program. It takes one image at a time. Raises NoRuntime where ExecuTorch was built without its delegate."""

    where = "host"

    def __init__(self, file: Path, threads: int | None, delegate: str = "XnnpackBackend") -> None:
        import torch
        from executorch.extension.pybindings import _portable_lib as runtime

        if threads:
            runtime._unsafe_reset_threadpool(threads)
        self.threads = int(runtime._threadpool_get_thread_count())
        self._torch = torch
        self._program = Program(file)
        if delegate not in runtime._get_registered_backend_names():
            raise NoRuntime(f"the ExecuTorch that is installed here was built without {delegate}")
        self._method = self._program.method("forward")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self._one(images[i : i + 1]) for i in range(len(images))])

    def _one(self, image: np.ndarray) -> np.ndarray:
        (logits,) = self.outputs(image)
        return logits

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        """All that the program gives for one image."""
        return [value.numpy().copy() for value in self._method([self._torch.from_numpy(np.ascontiguousarray(image))])]

    def shapes(self) -> list[tuple[int, ...]]:
        """Those of its outputs."""
        described = self._method.method_meta()
        return [tuple(described.output_tensor_meta(n).sizes()) for n in range(described.num_outputs())]


class OutputsTrace:
    """A program that gives what is behind every stage, the logits last: within, its delegate shows nothing."""

    words = "XNNPACK's kernels, in the same model lowered once more with its stages as outputs: the file's delegate shows none"
    blind = "ExecuTorch's delegate shows no operators within a stage"

    def __init__(self, file: Path) -> None:
        self._runner = ExecutorchRunner(file, None)
        shapes = self._runner.shapes()
        self.computed = tuple(Computed(n, f"output {n}", "output", shape, (n - 1,)) for n, shape in enumerate(shapes))
        self.logits = len(shapes) - 1

    def __call__(self, image: np.ndarray, wanted: Collection[int]) -> dict[int, np.ndarray]:
        return {place: value for place, value in enumerate(self._runner.outputs(image)) if place in wanted}


def load(file: Path, threads: int | None) -> ExecutorchRunner:
    return ExecutorchRunner(file, threads)


def outputs(file: Path) -> OutputsTrace:
    """A program that was written to show its stages."""
    return OutputsTrace(file)
