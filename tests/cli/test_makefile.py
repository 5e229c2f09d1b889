"""What make sets up, with a Python that only notes what it is asked: another torch or Python is taken where it is named."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
echo "$@" >> log
case "$*" in
    "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *torch==*+cpu) test ! -e no-cpu-builds ;;
esac
"""
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[list[str], str]]:
    """Run `make test` with some variables; what Python was asked before the tests, and what was said."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("python3.11", "python3.12"):
        (tmp_path / name).write_text(PYTHON)
        (tmp_path / name).chmod(0o755)

    def run(python: str = "python3.11", **variables: str) -> tuple[list[str], str]:
        (tmp_path / "log").write_text("")
        settings = [f"PYTHON=./{python}", *(f"{name}={value}" for name, value in variables.items())]
        ran = subprocess.run(["make", "test", *settings], cwd=tmp_path, capture_output=True, text=True, check=True)
        *before, last = (tmp_path / "log").read_text().splitlines()
        assert last.startswith("-m pytest -q")
        return [line for line in before if "edgevit" not in line and ".[all,dev]" not in line], ran.stdout

    return run


def _install(torch: str) -> str:
    return f"-m pip install -q -c constraints.txt torch=={torch}"


def test_a_fresh_clone_is_set_up_once(make: Callable[..., tuple[list[str], str]]) -> None:
    assert make()[0] == ["-m venv .venv", _install("2.13.0+cpu")]
    assert make()[0] == []


def test_another_torch_replaces_the_one_that_is_there(make: Callable[..., tuple[list[str], str]]) -> None:
    make()
    assert make(TORCH="2.13.0")[0] == ["-m pip uninstall -q -y torch", _install("2.13.0")]
    assert make(TORCH="2.13.0")[0] == []
    assert make()[0] == ["-m pip uninstall -q -y torch", _install("2.13.0+cpu")]


def test_another_python_makes_all_anew(make: Callable[..., tuple[list[str], str]]) -> None:
    make()
    assert make("python3.12")[0] == ["-m venv --clear .venv", _install("2.13.0+cpu")]
    assert make("python3.12")[0] == []


def test_an_index_without_cpu_builds_is_told_of(make: Callable[..., tuple[list[str], str]], tmp_path: Path) -> None:
    (tmp_path / "no-cpu-builds").touch()
    asked, said = make()
    assert asked[1:] == [_install("2.13.0+cpu"), _install("2.13.0")]
    assert "\nno torch 2.13.0+cpu from this index: taking 2.13.0, which on Linux brings gigabytes of CUDA\n" in said
