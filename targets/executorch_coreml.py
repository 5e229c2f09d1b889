"""ExecuTorch with Core ML: by Core ML itself on macOS, elsewhere by an evaluator of the package in the program (`reference`)."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgevit.types import Footprint, Library, Runner, Target, Trace
from targets.executorch import ExecutorchRunner
from targets.program import described as described
from targets.tolerances import FP16, FP32, INT4, WEIGHTS

BACKEND = "CoreMLBackend"
TARGET = Target(
    name="executorch-coreml",
    summary="ExecuTorch, Core ML delegate: iOS 17, macOS 14 and later, integers from iOS 18; all but fp32 computes in float16",
    converter="executorch-coreml",
    suffix=".pte",
    runtime="ExecuTorch with Core ML" if sys.platform == "darwin" else "evaluator of the package in the program (no Core ML)",
    recipes={"fp32": FP32, "fp16": FP16, **{form: WEIGHTS[form] for form in ("int8", *INT4)}},
    activations=(),
    needs=(Library("executorch", "executorch"), Library("coremltools", "coreml"), Library("torchao", "executorch")),
    footprint=Footprint(460 << 20, 2.4),
    seconds=(23.0, 24.0),
    max_subgraphs=1,
    max_outside=1,  # the call of the delegate itself
    systems=("Darwin", "macOS", "iOS"),
    not_here="" if sys.platform == "darwin" else "Core ML runs on Apple's systems only",
    varies="the program holds a package whose parts coremltools names at random",
    apps=("python-executorch", "cpp-executorch"),
)


def load(file: Path, threads: int | None) -> Runner:
    """Core ML chooses its own threads and units; `threads` says nothing to it."""
    if sys.platform == "darwin":
        return ExecutorchRunner(file, threads, BACKEND)
    from targets.mil.evaluate import Evaluator

    with _package(file) as package:
        return Evaluator(package)


def trace(file: Path) -> Trace:
    """By the evaluator everywhere: Core ML itself shows no values within."""
    from targets.mil.trace import MilTrace

    with _package(file) as package:
        return MilTrace(package)


@contextmanager
def _package(file: Path) -> Iterator[Path]:
    """The package in the program, as a folder while it lasts. Raises DamagedFile, and NoRuntime where the program does more."""
    from targets.files.executorch import delegated
    from targets.mil.flat import unflatten

    with tempfile.TemporaryDirectory(prefix="edgevit-") as folder:
        unflatten(delegated(file, BACKEND), Path(folder))
        yield Path(folder) / "model.mlpackage"
