"""Core ML on Apple's devices: by Core ML itself on macOS, elsewhere by an evaluator of the saved package (`reference`)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgevit.types import Footprint, Library, Runner, Target, Trace
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


class CoremlRunner:
    """A package loaded by Core ML on a Mac. It takes one image at a time."""

    where = "host"
    threads = None

    def __init__(self, file: Path) -> None:
        import coremltools

        self._model = coremltools.models.MLModel(str(file))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        answers = [self._model.predict({"images": images[i : i + 1]})["logits"] for i in range(len(images))]
        return np.concatenate(answers).astype(np.float32)


def load(file: Path, threads: int | None) -> Runner:
    """Core ML chooses its own threads and units; `threads` says nothing to it."""
    if sys.platform == "darwin":
        return CoremlRunner(file)
    from targets.mil.evaluate import Evaluator

    return Evaluator(file)


def trace(file: Path) -> Trace:
    """By the evaluator everywhere: Core ML itself shows no values within."""
    from targets.mil.trace import MilTrace

    return MilTrace(file)
