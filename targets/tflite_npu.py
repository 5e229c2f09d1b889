"""TFLite in integers alone, for NPUs; here, the same file in LiteRT's interpreter on the CPU."""

from __future__ import annotations

from pathlib import Path

from edgevit.types import Runner, Target
from targets import tflite
from targets.litert import InterpretedRunner
from targets.tflite import trace
from targets.tflite_described import described
from targets.tflite_runtimes import RUNTIMES, judged, load_in
from targets.tolerances import INTEGERS

__all__ = ["RUNTIMES", "TARGET", "described", "judged", "load", "load_in", "trace"]

TARGET = Target(
    name="tflite-npu",
    summary="TFLite in integers alone, int8 with int16 sums, for NPUs that take no floats; images (1, H, W, 3) int8",
    converter="tflite_npu",
    suffix=".tflite",
    runtime="LiteRT interpreter on the CPU",
    recipes={"int8": INTEGERS},
    activations=("static",),
    needs=tflite.TARGET.needs,
    footprint=tflite.TARGET.footprint,
    seconds=tflite.TARGET.seconds,
    max_outside=0,
    pixels_outside=0,
    metadata=tflite.TARGET.metadata,
    not_here="an NPU is not here, and a figure of this machine's CPU would say nothing of it",
    merges=False,
)


def load(file: Path, threads: int | None) -> Runner:
    return InterpretedRunner(file, threads)
