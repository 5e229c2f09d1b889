"""The programs of an artifact, run as an app's author would: Python by itself, C++ compiled against ExecuTorch's own headers."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgevit import app
from tests.app.conftest import ALL, PAIRS, picture, record, variants

Exports = Callable[..., Path]
RUNTIMES = {"ai_edge_litert", "tflite_runtime", "tensorflow", "executorch", "torch", "coremltools"}
BLOCKED = """
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'edgevit', 'targets', 'quantize', 'converters', 'msgspec', 'safetensors'}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    into = tmp_path_factory.mktemp("pictures")
    exif = Image.Exif()
    exif[274] = 6
    picture(90, 40, 5).save(into / "turned.jpg", exif=exif)
    picture(33, 71, 6).convert("CMYK").save(into / "cmyk.jpg")
    Image.new("I;16", (30, 30), 4000).save(into / "sixteen.png")
    return sorted(into.iterdir())


@pytest.mark.parametrize(("target", "input"), PAIRS)
def test_python_answers_as_edgevit_does(exports: Exports, pictures: list[Path], run_cli: Any, target: str, input: str) -> None:
    folder = exports(target, input)
    command = [sys.executable, "-c", BLOCKED, str(folder / app.FOLDER / app.PYTHON)]
    ran = subprocess.run([*command, *map(str, pictures), "--json"], capture_output=True, text=True, timeout=120)
    found = {Path(one["image"]).name: one for one in json.loads(ran.stdout)}
    assert ran.returncode == 1 and "not 8 bits a channel" in found.pop("sixteen.png")["refused"]
    known = [path for path in pictures if path.name != "sixteen.png"]
    expected = json.loads(run_cli("predict", folder, *known, "--top", 3, "--json").stdout)
    for one in expected:
        answers = found[Path(one["image"]).name]["answers"]
        assert [answer["label"] for answer in answers] == one["labels"]
        assert [answer["probability"] for answer in answers] == pytest.approx(one["scores"], rel=1e-4, abs=1e-6)


def test_python_for_people(exports: Exports, pictures: list[Path]) -> None:
    code = exports("tflite", "tensor") / app.FOLDER / app.PYTHON
    ran = subprocess.run(
        [sys.executable, str(code), str(pictures[-1]), "--top", "2"], capture_output=True, text=True, timeout=120
    )
    first, *answers = ran.stdout.splitlines()
    assert ran.returncode == 0 and first == str(pictures[-1]) and len(answers) == 2 and " %  " in answers[0], ran.stderr


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("python")])
def test_python_needs_pillow_numpy_and_its_runtime_alone(name: str, tmp_path: Path) -> None:
    for number, steps in enumerate(variants()):
        app.write(record(steps), (name,), tmp_path / str(number))
        tree = ast.parse((tmp_path / str(number) / app.PYTHON).read_text())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        needed = {module.partition(".")[0] for module in imported} - sys.stdlib_module_names
        assert {"numpy", "PIL"} < needed <= {"numpy", "PIL", *RUNTIMES}


def _executorch() -> Path:
    spec = importlib.util.find_spec("executorch")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = next((place for place in places if (place / "include").is_dir()), None)
    if not found:
        pytest.skip("the ExecuTorch that is installed brings no headers, or none is installed")
    return found


@pytest.fixture(scope="module")
def built(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The C++ program of the artifact for an input, linked with the runtime and XNNPACK in ExecuTorch's Python package."""

    @functools.cache
    def build(input: str) -> Path:
        compiler, place = shutil.which("g++"), _executorch()
        if not compiler:
            pytest.skip("no C++ compiler is here: g++")
        into = tmp_path_factory.mktemp("cpp")
        code = exports("executorch", input) / app.FOLDER / "classify.cpp"
        include = place / "include"
        headers = [
            f"-I{include}",
            f"-I{include / 'executorch/runtime/core/portable_type/c10'}",
            "-DC10_USING_CUSTOM_GENERATED_MACROS",
        ]
        flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", *headers]
        subprocess.run([compiler, *flags, "-c", str(code), "-o", "classify.o"], cwd=into, check=True, timeout=200)
        return _linked(compiler, place, into)

    return build


def _linked(compiler: str, place: Path, into: Path) -> Path:
    """Skips where the package's libraries are no such as a program can be linked with."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    bindings, torch = place / "extension/pybindings", place.parent / "torch/lib"
    libraries = [bindings / f"_portable_lib{suffix}", place / "backends/qualcomm/libqnn_executorch_backend.so"]
    python = Path(sysconfig.get_config_var("LIBDIR"))
    absent = [str(path) for path in (*libraries, torch) if not path.exists()]
    if absent or not list(python.glob(f"libpython{sys.version_info.major}.{sys.version_info.minor}.so*")):
        pytest.skip(f"nothing to link with: {', '.join(absent) or 'Python is no shared library here'}")
    paths = [f"-Wl,-rpath,{path}" for path in (bindings, libraries[1].parent, torch, python)]
    linked = [f"-L{torch}", f"-L{python}", "-ltorch_python", "-ltorch", "-ltorch_cpu", "-lc10"]
    linked += [f"-lpython{sys.version_info.major}.{sys.version_info.minor}", "-Wl,--unresolved-symbols=ignore-in-shared-libs"]
    command = [compiler, "classify.o", "-o", "classify", "-Wl,--no-as-needed", *map(str, libraries), *paths, *linked]
    subprocess.run(command, cwd=into, check=True, timeout=120)
    return into / "classify"


@pytest.mark.parametrize("input", ["tensor", pytest.param("pixels", marks=pytest.mark.slow)])
def test_cpp_answers_as_edgevit_does(
    built: Callable[[str], Path], exports: Exports, run_cli: Any, tmp_path: Path, input: str
) -> None:
    folder, program = exports("executorch", input), built(input)
    exif = Image.Exif()
    exif[274] = 8
    picture(90, 40, 7).save(tmp_path / "turned.png", exif=exif)
    picture(90, 40, 7).save(tmp_path / "turned.ppm")
    labels = folder / app.FOLDER / app.LABELS
    ran = subprocess.run(
        [str(program), str(folder / "model.pte"), str(labels), str(tmp_path / "turned.ppm"), "8"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = [line.split(" ", 2) for line in ran.stdout.splitlines()]
    (expected,) = json.loads(run_cli("predict", folder, tmp_path / "turned.png", "--json").stdout)
    assert [json.loads(label) for _, _, label in found] == expected["labels"]
    assert [float(score) for score, _, _ in found] == pytest.approx(expected["scores"], abs=2e-6)


def test_cpp_says_what_is_wrong(built: Callable[[str], Path], tmp_path: Path) -> None:
    program = built("tensor")
    (tmp_path / "x").write_bytes(b"no program and no picture")
    ran = subprocess.run([str(program), str(tmp_path / "x"), "x", "x"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "error: ExecuTorch cannot load the file" in ran.stderr
