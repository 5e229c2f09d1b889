"""The code of an app for any model, and images of every kind that people have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import app
from edgevit.types import Artifact, Input, Outcome, Preprocess

NASTY = (
    'quote " and \\ backslash', "${labels.size} $it", "*/ } ) // # '''", 'three """ quotes', "two\nlines\ttab", "日本 é 🐈 \u2028",
    "</script> %s {0} {{ x }} {% raw %}", "", " ",
)  # fmt: skip
"""Labels are others' words: each breaks out of some language's text, were it put there."""
ALL = (
    "python-litert", "python-executorch", "python-coreml", "kotlin-litert", "kotlin-executorch", "cpp-executorch", "swift-coreml",
    "swift-vision",
)  # fmt: skip


def record(preprocess: Preprocess, input: Input = Input.TENSOR, file: str = "model.tflite") -> Artifact:
    return Artifact("tflite", "fp32", Outcome.PASS, file=file, preprocess=preprocess, labels=NASTY, input=input)


Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The folder of one app's code, for a model with that preprocessing."""

    def write(name: str, preprocess: Preprocess, input: Input = Input.TENSOR) -> Path:
        into = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        app.write(record(preprocess, input), (name,), into)
        return into

    return write


def variants() -> list[Preprocess]:
    """Every interpolation, both aspects, with and without a margin, oblong and square."""
    plain = Preprocess((18, 18), (16, 16), mean=(0.485, 0.5, -1.25), std=(0.229, 1e3, 1e-5))
    found = []
    for interpolation in ("nearest", "bilinear", "bicubic", "lanczos"):
        found.append(dataclasses.replace(plain, interpolation=interpolation))
        found.append(dataclasses.replace(plain, interpolation=interpolation, resize=(20, 36), crop=(20, 35), aspect="squash"))
    return [
        *found,
        dataclasses.replace(plain, resize=(16, 16)),
        dataclasses.replace(plain, resize=(9, 9), crop=(9, 9), aspect="squash"),
    ]
