"""TFLite by LiteRT with XNNPACK: the CPU of Android; here, the same runtime on this machine's CPU."""

from __future__ import annotations

import os
from pathlib import Path

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
    activations=("dynamic",),
    needs=(
        Library("ai_edge_litert", "tflite"),
        Library("litert_torch", "tflite"),
        Library("ai_edge_quantizer", "tflite"),
        Library("torchao", "tflite"),
    ),
    footprint=Footprint(690 << 20, 6.1),
    max_subgraphs=1,
    max_outside=0,
)


class LitertRunner:
    """A loaded model. It takes one image at a time. The file takes (1, H, W, 3), or (1, 3, H, W) where another tool made it."""

    where = "host"
    threads: int | None

    def __init__(self, file: Path, threads: int | None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.threads = threads or os.cpu_count() or 1
        self._interpreter = Interpreter(str(file), num_threads=self.threads)
        self._interpreter.allocate_tensors()
        image = self._interpreter.get_input_details()[0]
        self._input, self._channels_last = image["index"], image["shape"][-1] == 3
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self._one(images[i : i + 1]) for i in range(len(images))])

    def _one(self, image: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input, channels_last(image) if self._channels_last else image)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


def channels_last(images: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) to (N, H, W, 3). Channel by channel takes a quarter of the time of numpy's own transposition."""
    turned = np.empty((*images.shape[:1], *images.shape[2:], images.shape[1]), images.dtype)
    for channel in range(images.shape[1]):
        turned[..., channel] = images[:, channel]
    return turned


def load(file: Path, threads: int | None) -> LitertRunner:
    return LitertRunner(file, threads)
