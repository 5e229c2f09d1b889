"""Core ML on Apple's devices: by Core ML itself on macOS, elsewhere by an evaluator of the saved package (`reference`)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgevit.errors import NoRuntime, UnknownName
from edgevit.types import Footprint, Island, Library, Runner, Target
from targets.tolerances import FP16, FP32, PALETTES, WEIGHTS

TARGET = Target(
    name="coreml",
    summary="Core ML mlprogram for iOS 17, macOS 14 and later; all but fp32 computes in float16",
    converter="coreml",
    suffix=".mlpackage",
    runtime="Core ML" if sys.platform == "darwin" else "evaluator of the package (no Core ML)",
    recipes={"fp32": FP32, "fp16": FP16, **{form: WEIGHTS[form] for form in ("int8", *PALETTES)}},
    activations=(),
    needs=(Library("coremltools", "coreml"), Library("torchao", "coreml")),
    footprint=Footprint(460 << 20, 5.1),
    not_here="" if sys.platform == "darwin" else "Core ML runs on Apple's systems only",
)


UNITS = {"coreml-cpu": "CPU_ONLY", "coreml-gpu": "CPU_AND_GPU", "coreml-ane": "CPU_AND_NE", "coreml-all": "ALL"}
"""coremltools' names of what Core ML may compute on; the CPU takes what the others do not."""
RUNTIMES = (*UNITS, "evaluator")
"""Whatever can run a package: Core ML on each compute unit, and the evaluator that stands in for it."""


class CoremlRunner:
    """A package loaded by Core ML on a Mac, for the compute unit of coremltools' name. It takes one image at a time."""

    where = "host"
    threads = None

    def __init__(self, file: Path, unit: str = "ALL") -> None:
        import coremltools

        self._model = coremltools.models.MLModel(str(file), compute_units=coremltools.ComputeUnit[unit])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        answers = [self._model.predict({"images": images[i : i + 1]})["logits"] for i in range(len(images))]
        return np.concatenate(answers).astype(np.float32)


def load(file: Path, threads: int | None) -> Runner:
    """Core ML chooses its own threads and units; `threads` says nothing to it."""
    return load_in("coreml-all" if sys.platform == "darwin" else "evaluator", file, threads)


def load_in(runtime: str, file: Path, threads: int | None) -> Runner:
    """The package at `file` in one of RUNTIMES. Raises UnknownName, and NoRuntime for Core ML anywhere but on a Mac."""
    if runtime not in RUNTIMES:
        raise UnknownName("runtime of Core ML", runtime, RUNTIMES)
    if runtime == "evaluator":
        from targets.mil.evaluate import Evaluator

        return Evaluator(file)
    if sys.platform != "darwin":
        raise NoRuntime(f"{runtime}: Core ML runs on Apple's systems only", "the evaluator reads the same package anywhere")
    return CoremlRunner(file, UNITS[runtime])


def too_large(file: Path, images: np.ndarray) -> tuple[Island, ...]:
    """What of the package at `file` does not fit into float16 on `images`."""
    from targets.mil import magnitudes

    return magnitudes.too_large(file, images)
