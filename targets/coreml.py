"""Core ML on Apple's devices: by Core ML itself on macOS, elsewhere by an evaluator of the saved package (`reference`)."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from edgevit import record
from edgevit.errors import DamagedFile, NoRuntime, UnknownName
from edgevit.said import PACKAGE
from edgevit.types import Described, Footprint, Island, Library, Runner, Runtime, Target, Trace
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
    footprint=Footprint(460 << 20, 2.0),
    seconds=(12.0, 16.0),
    systems=("Darwin", "macOS", "iOS"),
    not_here="" if sys.platform == "darwin" else "Core ML runs on Apple's systems only",
    apps=("python-coreml", "swift-coreml", "swift-vision"),
)


UNITS = {"coreml-cpu": "CPU_ONLY", "coreml-gpu": "CPU_AND_GPU", "coreml-ane": "CPU_AND_NE", "coreml-all": "ALL"}
"""coremltools' names of what Core ML may compute on; the CPU takes what the others do not."""
EVALUATOR = "evaluator"
NAMES = (*UNITS, EVALUATOR)
"""Whatever can run a package: Core ML on each compute unit, and the evaluator that stands in for it."""
OWN = "coreml-all" if sys.platform == "darwin" else EVALUATOR
RUNTIMES = tuple(
    Runtime(name, f"Core ML, {UNITS.get(name, 'evaluated with torch')}", "coremltools", TARGET.needs[:1], own=name == OWN)
    for name in (NAMES if sys.platform == "darwin" else (EVALUATOR,))
)
"""Those that this machine may have."""


class CoremlRunner:
    """A package loaded by Core ML on a Mac, for the compute unit of coremltools' name. It takes one image at a time.

    Where it is a classifier of images, pixels go in.
    """

    where = "host"
    threads = None

    def __init__(self, file: Path, unit: str = "ALL") -> None:
        import coremltools

        self._model = coremltools.models.MLModel(str(file), compute_units=coremltools.ComputeUnit[unit])
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
    return load_in("coreml-all" if sys.platform == "darwin" else EVALUATOR, file, threads)


def load_in(runtime: str, file: Path, threads: int | None) -> Runner:
    """The package at `file` in one of NAMES. Raises UnknownName, and NoRuntime for Core ML anywhere but on a Mac."""
    if runtime not in NAMES:
        raise UnknownName("runtime of Core ML", runtime, NAMES)
    if runtime == EVALUATOR:
        from targets.mil.evaluate import Evaluator

        return Evaluator(file)
    if sys.platform != "darwin":
        raise NoRuntime(f"{runtime}: Core ML runs on Apple's systems only", "the evaluator reads the same package anywhere")
    return CoremlRunner(file, UNITS[runtime])


def described(file: Path) -> Described | None:
    """What the package at `file` says of itself; None of one that is not edgevit's. Raises DamagedFile."""
    from targets.mil import package

    said = package.read(file).spec.description.metadata.userDefined.get(PACKAGE)
    if said is None:
        return None
    try:
        return record.decode(said, Described)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{file}: its metadata is not what edgevit writes there: {error}") from error


def too_large(file: Path, images: np.ndarray) -> tuple[Island, ...]:
    """What of the package at `file` does not fit into float16 on `images`."""
    from targets.mil import magnitudes

    return magnitudes.too_large(file, images)


def trace(file: Path) -> Trace:
    """By the evaluator everywhere: Core ML itself shows no values within."""
    from targets.mil.trace import MilTrace

    return MilTrace(file)
