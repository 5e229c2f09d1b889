"""The code of an app for any model, artifacts that hold it, and images of every kind that people have."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

import targets
from edgevit.types import Artifact, Input, Outcome, Preprocess

NASTY = (
    'quote " and \\ backslash', "${labels.size} $it", "*/ } ) // # '''", 'three """ quotes', "two\nlines\ttab",
    "日本 é 🐈 \u2028", "</script> %s {0} {{ x }} {% raw %}", "", " ",
)  # fmt: skip
"""Labels are others' words: each breaks out of some language's text, were it put there."""
PAIRS = [
    pytest.param(target, input, marks=[pytest.mark.slow] if input == "pixels" else [])
    for target in ("tflite", "executorch")
    for input in ("tensor", "pixels")
]
"""Runtimes of this machine, and what a file takes."""
ALL = (
    "python-litert", "python-executorch", "python-coreml", "kotlin-litert", "kotlin-executorch", "cpp-executorch", "swift-coreml",
    "swift-vision",
)  # fmt: skip


def record(preprocess: Preprocess, input: Input = Input.TENSOR, file: str = "model.tflite") -> Artifact:
    return Artifact("tflite", "fp32", Outcome.PASS, file=file, preprocess=preprocess, labels=NASTY, input=input)


def variants() -> list[Preprocess]:
    """Every interpolation, both aspects, with and without a margin, oblong and square."""
    plain = Preprocess((18, 18), (16, 16), mean=(0.485, 0.5, -1.25), std=(0.229, 1e3, 1e-5))
    found = []
    for interpolation in ("nearest", "bilinear", "bicubic", "lanczos"):
        found.append(dataclasses.replace(plain, interpolation=interpolation))
        found.append(dataclasses.replace(plain, interpolation=interpolation, resize=(20, 36), crop=(20, 35), aspect="squash"))
    whole = dataclasses.replace(plain, resize=(16, 16))
    return [*found, whole, dataclasses.replace(plain, resize=(9, 9), crop=(9, 9), aspect="squash")]


@pytest.fixture(scope="session")
def exports(run_cli: Any, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The artifact of the tiny checkpoint for a target, made once: the folder."""
    root, made = tmp_path_factory.mktemp("apps"), {}

    def export(target: str, input: str, recipe: str = "fp32") -> Path:
        if targets.missing(targets.get(target)):
            pytest.skip(f"{target} is not installed")
        key = (target, input, recipe)
        if key not in made:
            out = root / "-".join(key)
            asked = ("--target", target, "--recipe", recipe, "--input", input)
            ran = run_cli("export", checkpoint, *asked, "--out", out, "--json")
            assert ran.returncode == 0, ran.stderr
            made[key] = Path(json.loads(ran.stdout)[0]["folder"])
        return made[key]

    return export


REFUSED = {"truncated.jpg", "sixteen.png", "strip.png", "gif.jpg", "words.jpg"}


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Fifty odd images and more, with edges, grain and slopes as photographs have; those of REFUSED are none."""
    into = tmp_path_factory.mktemp("odd")
    _modes(into)
    _turned(into)
    _sizes(into)
    _encodings(into)
    _none(into)
    return sorted(into.iterdir())


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = []
    for _ in range(3):
        across, down, turn = chance.uniform(0.01, 0.5, 3)
        slope = 96 * np.sin(x * across + turn * 9) * np.cos(y * down) + 128
        edge = 60 * ((x * down + y * across) % 23 > 11)
        planes.append(slope + edge + chance.normal(0, 9, (height, width)).astype(np.float32))
    return Image.fromarray(np.stack(planes, 2).clip(0, 255).astype(np.uint8))


def _modes(into: Path) -> None:
    image = picture(120, 90, 1)
    for mode, quality in (("L", 75), ("L", 95), ("CMYK", 75), ("CMYK", 95), ("YCbCr", 90)):
        image.convert(mode).save(into / f"{mode}-{quality}.jpg", quality=quality)
    for mode in ("1", "LA", "RGBA", "L"):
        image.convert(mode).save(into / f"{mode}.png")
    alpha = image.copy()
    alpha.putalpha(picture(120, 90, 2).convert("L"))
    alpha.save(into / "alpha.png")
    alpha.save(into / "alpha.webp", lossless=True)
    alpha.save(into / "alpha-lossy.webp")
    for colours in (2, 16, 256):
        image.quantize(colours).save(into / f"palette-{colours}.png")
    image.quantize(16).save(into / "palette-alpha.png", transparency=3)


def _turned(into: Path) -> None:
    for orientation in (*range(1, 9), 0, 99):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        picture(70 + orientation % 9, 50, orientation).save(into / f"exif-{orientation}.jpg", exif=exif)
        if orientation in (6, 7):
            picture(70, 50, orientation).save(into / f"exif-{orientation}.png", exif=exif)
            picture(70, 50, orientation).save(into / f"exif-{orientation}.webp", exif=exif)
    picture(60, 50).save(into / "exif-broken.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")


def _sizes(into: Path) -> None:
    for width, height in ((1, 80), (80, 1), (1, 1), (2, 3), (6000, 400), (400, 6000), (6000, 11), (16, 16), (17, 15), (33, 500)):
        picture(width, height, width).save(into / f"{width}x{height}.jpg")


def _encodings(into: Path) -> None:
    image = picture(101, 67, 3)
    for subsampling in (0, 1, 2):
        image.save(into / f"subsampling-{subsampling}.jpg", subsampling=subsampling)
    for quality in (1, 10, 100):
        image.save(into / f"progressive-{quality}.jpg", progressive=True, quality=quality)
    image.save(into / "optimised.jpg", optimize=True)
    image.save(into / "plain.png", compress_level=1)
    image.save(into / "comment.jpg", comment="*/ \" ' \\ ${x}")


def _none(into: Path) -> None:
    buffer = io.BytesIO()
    picture(200, 200).save(buffer, "JPEG")
    (into / "truncated.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    Image.new("I;16", (30, 30), 4000).save(into / "sixteen.png")
    Image.new("L", (900_000, 1)).save(into / "strip.png")
    picture(30, 30).save(into / "gif.jpg", "GIF")
    (into / "words.jpg").write_text("no image")
