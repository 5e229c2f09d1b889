"""TFLite for the runtimes that shipped apps carry, tflite-support's Task Library among them; here, in all that are installed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgevit.types import Runner
from targets import tflite
from targets.litert import LitertRunner
from targets.tflite import trace
from targets.tflite_described import described
from targets.tflite_runtimes import RUNTIMES, judged, load_in
from targets.tolerances import DYNAMIC, FP32

__all__ = ["RUNTIMES", "TARGET", "described", "judged", "load", "load_in", "trace"]

TARGET = dataclasses.replace(
    tflite.TARGET,
    name="tflite-legacy",
    summary="TFLite for old runtimes too, the Task Library's among them: the same integers, the scales of channels apart",
    converter="tflite_legacy",
    recipes={"fp32": FP32, "int8": DYNAMIC["int8"]},
    activations=("dynamic",),
    max_subgraphs=None,
    max_outside=None,
    wanted=("litert-plain", "tensorflow", "tensorflow-plain", "task-library"),
    by_name_only="it is for apps with an older runtime, and slower than tflite",
)


def load(file: Path, threads: int | None) -> Runner:
    return LitertRunner(file, threads)
