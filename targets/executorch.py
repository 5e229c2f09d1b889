"""ExecuTorch with XNNPACK on the CPU of a phone; here, the same runtime on this machine's CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgevit.errors import NoRuntime
from edgevit.types import Footprint, Library, Target
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
    footprint=Footprint(540 << 20, 5.3),
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

        # The native half of executorch.runtime: its Python half would load the whole exporter besides, for 6 s and nothing.
        from executorch.extension.pybindings import _portable_lib as runtime

        if threads:
            runtime._unsafe_reset_threadpool(threads)
        self.threads = int(runtime._threadpool_get_thread_count())
        self._torch = torch
        self._data = file.read_bytes()  # this and the program must outlive the method
        whole = runtime.Verification.InternalConsistency  # by default it would believe whatever offsets a file holds
        self._program: Any = runtime._load_program_from_buffer(self._data, program_verification=whole)
        if delegate not in runtime._get_registered_backend_names():
            raise NoRuntime(f"the ExecuTorch that is installed here was built without {delegate}")
        self._method = self._program.load_method("forward")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self._one(images[i : i + 1]) for i in range(len(images))])

    def _one(self, image: np.ndarray) -> np.ndarray:
        (logits,) = self._method([self._torch.from_numpy(np.ascontiguousarray(image))])
        return logits.numpy().copy()


def load(file: Path, threads: int | None) -> ExecutorchRunner:
    return ExecutorchRunner(file, threads)
