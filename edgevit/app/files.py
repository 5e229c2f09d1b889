"""Which files of code there are, and for whom."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.types import Input


@dataclass(frozen=True)
class Code:
    """A file of code: the template that it is written from, what it is in words, and which models it is written for."""

    file: str
    template: str
    words: str
    inputs: tuple[Input, ...] = tuple(Input)


@dataclass(frozen=True)
class App:
    """The code for one language and runtime; `channels_last` where a tensor goes in as (1, H, W, 3)."""

    files: tuple[Code, ...]
    channels_last: bool = False


def _python(runtime: str) -> tuple[Code, ...]:
    return (Code("classify.py", f"classify.{runtime}.py", "from a file to an answer, in Python; `--help` says how"),)


_KOTLIN = (
    Code("Preprocess.kt", "Preprocess.kt", "decoded pixels to what the model takes, in Kotlin"),
    Code("Decode.kt", "Decode.kt", "a file to pixels, by Android"),
)
_LITERT = Code("Classifier.kt", "Classifier.litert.kt", "an image to an answer, with LiteRT")
_EXECUTORCH = Code("Classifier.kt", "Classifier.executorch.kt", "an image to an answer, with ExecuTorch")
_CPP = (
    Code("preprocess.hpp", "preprocess.hpp", "decoded pixels to what the model takes, in C++17"),
    Code("classify.cpp", "classify.cpp", "a decoded image to an answer, with ExecuTorch"),
)
_SWIFT = (
    Code("Preprocess.swift", "Preprocess.swift", "decoded pixels to what the model takes, in Swift"),
    Code("Decode.swift", "Decode.swift", "a file to pixels, by Image I/O"),
    Code("Classifier.swift", "Classifier.swift", "an image to an answer, with Core ML alone"),
)
_VISION = Code(
    "VisionClassifier.swift", "VisionClassifier.swift", "the same with Vision, which scales by itself", (Input.PIXELS,)
)

APPS = {
    "python-litert": App(_python("tflite"), channels_last=True),
    "python-executorch": App(_python("executorch")),
    "python-coreml": App(_python("coreml")),
    "kotlin-litert": App((*_KOTLIN, _LITERT), channels_last=True),
    "kotlin-executorch": App((*_KOTLIN, _EXECUTORCH)),
    "cpp-executorch": App(_CPP),
    "swift-coreml": App(_SWIFT),
    "swift-vision": App((_VISION,)),
}
"""By the names that a target's `apps` are."""
