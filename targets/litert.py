"""A TFLite file in an interpreter, called as all runners are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def cores() -> int:
    """Those that this process may use. More threads than that wait for each other by spinning."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LitertRunner:
    """A loaded model. It takes one image at a time. The file takes (1, H, W, 3), or (1, 3, H, W) where another tool made it.

    Floats go in and come out, whatever the file takes and gives; where it takes uint8, pixels (N, H, W, 3) go in as they are.
    """

    where = "host"
    threads: int | None

    def __init__(self, file: Path, threads: int | None, interpreter: Callable[..., Any] | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.threads = threads or cores()
        self._interpreter = (interpreter or Interpreter)(str(file), num_threads=self.threads)
        self._interpreter.allocate_tensors()
        image, logits = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._input, self._output = image, logits

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self._one(images[i : i + 1]) for i in range(len(images))])

    def _one(self, image: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], entering(self._input, image))
        self._interpreter.invoke()
        return floats(self._output, np.asarray(self._interpreter.get_tensor(self._output["index"])))


class InterpretedRunner(LitertRunner):
    """A file for another processor, interpreted on the CPU: its answers are those of the file, its time is nobody's."""

    where = "reference"


def entering(details: dict[str, Any], image: np.ndarray) -> np.ndarray:
    """One image (1, 3, H, W), or pixels (1, H, W, 3), as the input of these `details` takes it."""
    if image.dtype == np.uint8:
        return image
    image = channels_last(image) if details["shape"][-1] == 3 else image
    if details["dtype"] is not np.int8:
        return image
    scale, zero = details["quantization"]
    return (np.round(image / scale) + zero).clip(-128, 127).astype(np.int8)


def floats(details: dict[str, Any], value: np.ndarray) -> np.ndarray:
    """A tensor of these `details` as floats, whatever integers of one scale it holds."""
    if details["dtype"] is np.float32:
        return value
    scale, zero = details["quantization"]
    return ((value.astype(np.int32) - zero) * scale).astype(np.float32)


def channels_last(images: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) to (N, H, W, 3). Channel by channel takes a quarter of the time of numpy's own transposition."""
    turned = np.empty((*images.shape[:1], *images.shape[2:], images.shape[1]), images.dtype)
    for channel in range(images.shape[1]):
        turned[..., channel] = images[:, channel]
    return turned
