"""The runtimes that may open a TFLite file: today's, with and without XNNPACK, and those that shipped apps carry."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgevit.lean import with_libusb
from edgevit.types import Library, Runner, Runtime
from targets.litert import LitertRunner, cores

TENSORFLOW = (Library("tensorflow", "tflite"),)
RUNTIMES = (
    Runtime("litert", "LiteRT with XNNPACK", "ai-edge-litert", (Library("ai_edge_litert", "tflite"),), own=True),
    Runtime("litert-plain", "LiteRT's own kernels", "ai-edge-litert", (Library("ai_edge_litert", "tflite"),)),
    Runtime("tensorflow", "TensorFlow's interpreter with XNNPACK", "tensorflow", TENSORFLOW),
    Runtime("tensorflow-plain", "TensorFlow's own kernels", "tensorflow", TENSORFLOW),
    Runtime("gpu-analyzer", "TensorFlow's judgement on GPU delegates", "tensorflow", TENSORFLOW, judges=True),
    Runtime(
        "task-library",
        "tflite-support's Task Library, as shipped apps carry it",
        "tflite-support",
        (Library("tflite_support", "tflite"), Library("libusb_package", "tflite")),
        pixels=True,
    ),
)  # fmt: skip


def load_in(runtime: str, file: Path, threads: int | None) -> Runner:
    """The file in the runtime of that name. Task Library and TensorFlow clash in one process."""
    if runtime == "task-library":
        return TaskLibraryRunner(file)
    module, plain = _interpreters(runtime)
    resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else module.OpResolverType.AUTO

    def opened(path: str, num_threads: int) -> Any:
        return module.Interpreter(path, num_threads=num_threads, experimental_op_resolver_type=resolver)

    return LitertRunner(file, threads, opened)


def _interpreters(runtime: str) -> tuple[ModuleType, bool]:
    name, _, plain = runtime.partition("-")
    if name == "litert":
        return importlib.import_module("ai_edge_litert.interpreter"), bool(plain)
    with _interpreter_alone():
        return importlib.import_module("tensorflow.lite.python.interpreter"), bool(plain)


@contextlib.contextmanager
def _interpreter_alone():  # type: ignore[no-untyped-def]
    """TensorFlow without all that its own __init__ loads: 0.1 s for 3.5 s. Once it is loaded whole, that one is used."""
    if "tensorflow" not in sys.modules:
        spec = importlib.util.find_spec("tensorflow")
        assert spec and spec.submodule_search_locations
        sys.modules["tensorflow"] = ModuleType("tensorflow")
        sys.modules["tensorflow"].__path__ = list(spec.submodule_search_locations)
    yield


def judged(runtime: str, file: Path) -> str:
    """What GPU delegates would refuse, by TensorFlow's own analyzer; empty where that is nothing.

    It knows the operators of the older delegate, and not whether a phone's takes them: it calls files compatible of which a
    delegate was seen to leave most to the CPU (google-ai-edge/litert-torch#1079), so it proves nothing alone.
    """
    with _interpreter_alone():
        analyzer = importlib.import_module("tensorflow.lite.python.analyzer")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        analyzer.ModelAnalyzer.analyze(model_path=str(file), gpu_compatibility=True)
    refused = re.findall(r"^GPU COMPATIBILITY WARNING: (.*)$", said.getvalue(), re.MULTILINE)
    return "; ".join(dict.fromkeys(line.strip() for line in refused))


LOWEST = float(np.finfo(np.float32).min)
"""Of a score that is told: by itself it drops what is below 0, half of all logits."""


class TaskLibraryRunner:
    """An image classifier of tflite-support. Pixels (N, H, W, 3) uint8 go in, and it normalises them by the file's metadata."""

    where = "host"
    threads: int | None

    def __init__(self, file: Path) -> None:
        with with_libusb():
            from tflite_support.task import core, processor, vision

        self.threads = cores()
        opened = core.BaseOptions(file_name=str(file), num_threads=self.threads)
        every = processor.ClassificationOptions(max_results=-1, score_threshold=LOWEST)
        options = vision.ImageClassifierOptions(opened, every)
        self._classifier = vision.ImageClassifier.create_from_options(options)
        self._image: Callable[[np.ndarray], Any] = vision.TensorImage.create_from_array

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.stack([self._one(image) for image in images])

    def _one(self, image: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(image)  # the image within holds no copy, and must not outlive them
        (found,) = self._classifier.classify(self._image(pixels)).classifications
        answers = np.full(len(found.categories), np.nan, np.float32)
        for category in found.categories:
            answers[category.index] = category.score
        return answers
