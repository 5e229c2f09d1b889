"""Core ML on Apple's devices: by Core ML itself on macOS, elsewhere by an evaluator of the saved package (`reference`)."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

import numpy as np

from edgevit.types import Footprint, Library, Runner, Target
from targets.tolerances import FP16, FP32, PALETTES, WEIGHTS

TARGET = Target(
    name="coreml",
    summary="Core ML mlprogram for iOS 17, macOS 14 and later; all but fp32 computes in float16",
    converter="coreml",
    suffix=".mlpackage",
    runtime="Core ML" if sys.platform == "darwin" else "evaluator of the package (no Core ML)",
    recipes={"fp32": FP32, "fp16": FP16, **{form: WEIGHTS[form] for form in ("int8", *PALETTES)}},
    activations=(),
    pixels_outside=0,
    needs=(Library("coremltools", "coreml"), Library("torchao", "coreml")),
    footprint=Footprint(460 << 20, 5.1),
    not_here="" if sys.platform == "darwin" else "Core ML runs on Apple's systems only",
    apps=("python-coreml", "swift-coreml", "swift-vision"),
)


class CoremlRunner:
    """A package loaded by Core ML on a Mac. It takes one image at a time, or pixels where it is a classifier of images."""

    where = "host"
    threads = None

    def __init__(self, file: Path) -> None:
        import coremltools

        self._model = coremltools.models.MLModel(str(file))
        self._file = file

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self._pixels(image) if image.dtype == np.uint8 else self._one(image) for image in images])

    def _one(self, image: np.ndarray) -> np.ndarray:
        return self._model.predict({"images": image[None]})["logits"].astype(np.float32)

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        from PIL import Image

        answered = self._model.predict({"image": Image.fromarray(image)})
        (probabilities,) = (value for value in answered.values() if isinstance(value, dict))
        return np.array([[probabilities[label] for label in self._labels]], np.float32)

    @cached_property
    def _labels(self) -> list[str]:
        from targets.mil import package
        from targets.mil.program import class_labels

        return class_labels(package.read(self._file))


def load(file: Path, threads: int | None) -> Runner:
    """Core ML chooses its own threads and units; `threads` says nothing to it."""
    if sys.platform == "darwin":
        return CoremlRunner(file)
    from targets.mil.evaluate import Evaluator

    return Evaluator(file)
