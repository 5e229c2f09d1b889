"""The resampling that C++ and Kotlin do themselves, compiled and run beside Pillow's, to the level."""

from __future__ import annotations

import ctypes
import io
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from edgevit import app
from edgevit.data.preprocess import normalise, pixels
from edgevit.types import Preprocess
from tests.app.conftest import record, variants

Prepared = Callable[[int, Image.Image, int], tuple[np.ndarray, np.ndarray]]
"""The code for variant number so much: an image as it lies in the file, and its orientation, to pixels and tensor."""
SIZES = 60
"""Images of random sizes for each variant."""

ENTRY = """
extern "C" void run{n}(const uint8_t* rgb, int height, int width, int orientation, uint8_t* pixels, float* values) {{
  v{n}::app::Image image(height, width);
  std::copy(rgb, rgb + image.rgb.size(), image.rgb.begin());
  const auto found = v{n}::app::prepared(v{n}::app::upright(image, orientation));
  std::copy(found.rgb.begin(), found.rgb.end(), pixels);
  const auto made = v{n}::app::tensor(found);
  std::copy(made.begin(), made.end(), values);
}}
"""
HEADERS = ["algorithm", "cmath", "cstdint", "stdexcept", "vector"]

MAIN = """
import java.io.DataInputStream
import java.io.DataOutputStream

fun main() {{
    val given = DataInputStream(System.`in`.buffered())
    val out = DataOutputStream(System.out.buffered())
    while (true) {{
        val variant = given.readInt()
        if (variant < 0) break
        val height = given.readInt()
        val width = given.readInt()
        val orientation = given.readInt()
        val rgb = ByteArray(height * width * 3)
        given.readFully(rgb)
        when (variant) {{
{cases}
        }}
    }}
    out.flush()
}}
"""
CASE = """            {n} -> {{
                val found = v{n}.prepared(v{n}.upright(v{n}.Image(height, width, rgb), orientation))
                out.write(found.rgb)
                for (value in v{n}.tensor(found)) out.writeFloat(value)
            }}"""


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """All variants in one library: a compiler takes longer to start than to read ten of them."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("no C++ compiler is here, neither g++ nor clang++")
    root = tmp_path_factory.mktemp("cpp")
    lines = [f"#include <{header}>" for header in HEADERS]
    for number, steps in enumerate(variants()):
        app.write(record(steps, file="model.pte"), ("cpp-executorch",), root / str(number))
        lines += [f"namespace v{number} {{", f'#include "{number}/preprocess.hpp"', "}", ENTRY.format(n=number)]
    (root / "all.cpp").write_text("\n".join(lines))
    command = [compiler, "-std=c++17", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "all.cpp", "-o", "all.so"]
    subprocess.run(command, cwd=root, check=True, timeout=120)
    library = ctypes.CDLL(str(root / "all.so"))

    def run(number: int, image: Image.Image, orientation: int) -> tuple[np.ndarray, np.ndarray]:
        height, width = variants()[number].crop
        found, values = np.zeros((height, width, 3), np.uint8), np.zeros((1, 3, height, width), np.float32)
        given = np.ascontiguousarray(image)
        places = (given.ctypes.data, image.height, image.width, orientation, found.ctypes.data, values.ctypes.data)
        kinds = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        getattr(library, f"run{number}")(*(kind(place) for kind, place in zip(kinds, places, strict=True)))
        return found, values

    return run


def _images(steps: Preprocess, seed: int, sizes: int) -> Iterator[tuple[Image.Image, int]]:
    """Noise and edges of random sizes, thin ones and enlarged ones among them, and one that is large; each turned somehow."""
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    shapes = [(1, 1), (1, 90), (90, 1), steps.resize, steps.crop, (700, 500)]
    shapes += [(chance.randint(1, 120), chance.randint(1, 120)) for _ in range(sizes)]
    for height, width in shapes:
        array = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        array[: height // 2, width // 2 :] = chance.choice((0, 255))
        yield Image.fromarray(array), chance.randint(0, 9)


def _expected(image: Image.Image, orientation: int, steps: Preprocess) -> np.ndarray:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(buffer, "PNG", exif=exif)
    return pixels(Image.open(buffer), steps)


@pytest.mark.parametrize("number", range(len(variants())))
def test_cpp_gives_the_pixels_and_the_tensor_of_training(cpp: Prepared, number: int) -> None:
    steps = variants()[number]
    for image, orientation in _images(steps, number, SIZES):
        expected = _expected(image, orientation, steps)
        found, values = cpp(number, image, orientation)
        assert np.array_equal(found, expected), (image.size, orientation)
        assert np.array_equal(values, normalise(expected[None], steps)), (image.size, orientation)


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of classes with `MainKt`, which answers to what stands in its input."""
    compiler = shutil.which("kotlinc")
    if not compiler or not shutil.which("java"):
        pytest.skip("no Kotlin compiler is here: kotlinc, with java")
    root = tmp_path_factory.mktemp("kotlin")
    for number, steps in enumerate(variants()):
        app.write(record(steps, file="model.pte"), ("kotlin-executorch",), root / str(number))
        code = (root / str(number) / "Preprocess.kt").read_text()
        (root / f"V{number}.kt").write_text(code.replace("package app\n", f"package v{number}\n", 1))
    cases = "\n".join(CASE.format(n=number) for number in range(len(variants())))
    (root / "Main.kt").write_text(MAIN.format(cases=cases))
    files = [path.name for path in sorted(root.glob("*.kt"))]
    subprocess.run([compiler, "-include-runtime", "-d", "all.jar", *files], cwd=root, check=True, timeout=300)
    return root / "all.jar"


@pytest.mark.slow
def test_kotlin_gives_the_pixels_and_the_tensor_of_training(kotlin: Path) -> None:
    asked = [(number, *one) for number, steps in enumerate(variants()) for one in _images(steps, number, SIZES // 3)]
    given = b"".join(struct.pack(">4i", n, image.height, image.width, turn) + image.tobytes() for n, image, turn in asked)
    command = ["java", "-cp", str(kotlin), "MainKt"]
    ran = subprocess.run(command, input=given + struct.pack(">i", -1), stdout=subprocess.PIPE, check=True, timeout=300)
    answers = io.BytesIO(ran.stdout)
    for number, image, orientation in asked:
        steps = variants()[number]
        count = steps.crop[0] * steps.crop[1] * 3
        found = np.frombuffer(answers.read(count), np.uint8).reshape(*steps.crop, 3)
        values = np.frombuffer(answers.read(4 * count), ">f4").reshape(1, 3, *steps.crop)
        expected = _expected(image, orientation, steps)
        assert np.array_equal(found, expected), (number, image.size, orientation)
        assert np.array_equal(values, normalise(expected[None], steps)), (number, image.size, orientation)
    assert answers.read() == b""
