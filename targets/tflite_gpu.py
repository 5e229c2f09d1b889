"""TFLite by LiteRT's GPU delegate on a phone; here, the same file on this machine's GPU or in LiteRT's interpreter on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgevit.errors import LoadFailed
from edgevit.types import Runner, Target
from targets import tflite
from targets.litert import InterpretedRunner, channels_last
from targets.tflite import trace
from targets.tflite_described import described
from targets.tflite_runtimes import RUNTIMES, judged, load_in
from targets.tolerances import FP16, FP32

__all__ = ["RUNTIMES", "TARGET", "described", "judged", "load", "load_in", "trace"]

TARGET = Target(
    name="tflite-gpu",
    summary="TFLite for LiteRT's GPU delegate (ML Drift; TensorFlow Lite's older one has no exact GELU); images (1, H, W, 3)",
    converter="tflite_gpu",
    suffix=".tflite",
    runtime="LiteRT interpreter on the CPU (where there is a GPU, LiteRT on that)",
    recipes={"fp32": FP32, "fp16": FP16},
    activations=(),
    needs=tflite.TARGET.needs,
    footprint=tflite.TARGET.footprint,
    seconds=tflite.TARGET.seconds,
    max_subgraphs=1,
    max_outside=0,
    not_here="a phone's GPU is not here, and a figure of this machine's CPU would say nothing of it",
    merges=False,
    metadata=tflite.TARGET.metadata,
    pixels_outside=1,  # what makes floats of them: the delegate takes no integers
)


class AcceleratedRunner:
    """The file on this machine's GPU: another one than a phone's, with the same delegate. One image at a time."""

    where = "reference"
    threads: int | None = None

    def __init__(self, model: Any) -> None:
        self._model = model
        self._inputs, self._outputs = model.create_input_buffers(0), model.create_output_buffers(0)
        (output,) = model.get_output_tensor_details(next(iter(model.get_signature_list()))).values()
        self._classes = int(output["shape"][-1])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.stack([self._one(image) for image in (images if images.dtype == np.uint8 else channels_last(images))])

    def _one(self, image: np.ndarray) -> np.ndarray:
        self._inputs[0].write(image)
        self._model.run_by_index(0, self._inputs, self._outputs)
        return np.asarray(self._outputs[0].read(self._classes, np.float32))


def load(file: Path, threads: int | None) -> Runner:
    """Raises LoadFailed where there is a GPU whose delegate leaves a part of the file to the CPU."""
    model = _on_gpu(file)
    if model is None:
        return InterpretedRunner(file, threads)
    if not model.is_fully_accelerated():
        raise LoadFailed("the GPU delegate of this machine takes only a part of the file")
    return AcceleratedRunner(model)


def _on_gpu(file: Path) -> Any:
    """The compiled file; None where LiteRT finds no GPU."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    try:
        return CompiledModel.from_file(str(file), hardware_accel=HardwareAccelerator.GPU)
    except RuntimeError:  # it says no more than that it failed: "No adapters found" goes to stderr alone
        return None
