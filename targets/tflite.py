"""TFLite by LiteRT with XNNPACK: the CPU of Android; here, the same runtime on this machine's CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from edgevit.types import Footprint, Library, Target
from targets.tolerances import DYNAMIC, FP32

TARGET = Target(
    name="tflite",
    summary="TFLite, LiteRT with XNNPACK: CPU of Android, iOS, Linux; images (1, H, W, 3)",
    converter="tflite",
    suffix=".tflite",
    runtime="LiteRT interpreter",
    recipes={"fp32": FP32, **DYNAMIC},
    activations=("dynamic", "static"),
    needs=(
        Library("ai_edge_litert", "tflite"),
        Library("litert_torch", "tflite"),
        Library("ai_edge_quantizer", "tflite"),
        Library("torchao", "tflite"),
    ),
    footprint=Footprint(690 << 20, 6.1),
    max_subgraphs=1,
    max_outside=0,
    pixels_outside=0,
    apps=("python-litert", "kotlin-litert"),
)


class LitertRunner:
    """A loaded model. It takes one image at a time. The file takes (1, H, W, 3), or (1, 3, H, W) where another tool made it.

    Floats go in and come out, whatever the file takes and gives; where it takes uint8, pixels (N, H, W, 3) go in as they are.
    """

    where = "host"
    threads: int | None

    def __init__(self, file: Path, threads: int | None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.threads = threads or os.cpu_count() or 1
        self._interpreter = Interpreter(str(file), num_threads=self.threads)
        self._interpreter.allocate_tensors()
        image, logits = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._input, self._channels_last = image["index"], image["shape"][-1] == 3
        self._output = logits["index"]
        self._entering, self._leaving = (_int8(details) for details in (image, logits))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self._one(images[i : i + 1]) for i in range(len(images))])

    def _one(self, image: np.ndarray) -> np.ndarray:
        image = channels_last(image) if self._channels_last and image.dtype != np.uint8 else image
        if self._entering:
            scale, zero = self._entering
            image = (np.round(image / scale) + zero).clip(-128, 127).astype(np.int8)
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        logits = np.asarray(self._interpreter.get_tensor(self._output))
        if self._leaving:
            scale, zero = self._leaving
            logits = ((logits.astype(np.int32) - zero) * scale).astype(np.float32)
        return logits


class InterpretedRunner(LitertRunner):
    """A file for another processor, interpreted on the CPU: its answers are those of the file, its time is nobody's."""

    where = "reference"


def _int8(details: dict[str, Any]) -> tuple[float, int] | None:
    """Scale and zero of an input or output of int8; None where it is floats."""
    return details["quantization"] if details["dtype"] is np.int8 else None


def channels_last(images: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) to (N, H, W, 3). Channel by channel takes a quarter of the time of numpy's own transposition."""
    turned = np.empty((*images.shape[:1], *images.shape[2:], images.shape[1]), images.dtype)
    for channel in range(images.shape[1]):
        turned[..., channel] = images[:, channel]
    return turned


def load(file: Path, threads: int | None) -> LitertRunner:
    return LitertRunner(file, threads)
