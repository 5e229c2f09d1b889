"""What many tests share: a small folder of images, a checkpoint trained on it, an artifact of it, and the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import numpy as np
import pytest
from PIL import Image

import targets
from edgevit.types import Merge, ResNetStem, ViTConfig
from edgevit.vit.config import config

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Models this small are four times slower with two threads, here and in every child: they wait for each other."""

hypothesis.settings.register_profile("same each time", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same each time")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and every child inherits what is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SABOTAGE = Path(__file__).parent / "sabotage"
QUICKEST = ("tflite", "executorch", "coreml")
"""Targets by the time that an export takes, shortest first."""


def _variants() -> dict[str, ViTConfig]:
    """A tiny model for every option of the paper's: what a converter or a count must take, it takes from here."""
    plain = config("Pico/8", (32, 32), 10)
    plain = dataclasses.replace(plain, depth=2)
    stem = ResNetStem((1, 2), 8)
    changes: dict[str, dict[str, Any]] = {
        "plain": {}, "mean": {"pool": "mean"}, "distilled": {"pool": "distilled"}, "none": {"positions": "none"},
        "2d": {"positions": "2d"}, "relative": {"positions": "relative"}, "sincos": {"positions": "sincos"},
        "registers": {"registers": 3},
        "tanh": {"gelu": "tanh"}, "representation": {"representation": 24}, "oblong": {"image_size": (16, 40)},
        "hybrid": {"stem": stem},
        "hybrid with patches": {"stem": stem, "patch": 16},
        "mean of all": {
            "pool": "mean", "positions": "relative", "registers": 2, "gelu": "tanh", "representation": 24, "stem": stem,
        },
        "merged": {"merges": (Merge(1, 11),)},
        "merged by half": {"pool": "mean", "merges": (Merge(1, 8),)},
        "merged of all": {
            "depth": 3, "pool": "mean", "registers": 2, "image_size": (24, 40), "merges": (Merge(1, 9), Merge(2, 5)),
        },
        "distilled of all": {"pool": "distilled", "positions": "2d", "registers": 2, "image_size": (24, 32)},
    }  # fmt: skip
    return {name: dataclasses.replace(plain, **change) for name, change in changes.items()}


VARIANTS = _variants()


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def variant(request: pytest.FixtureRequest) -> ViTConfig:
    return request.param


@pytest.fixture(scope="session")
def variants() -> dict[str, ViTConfig]:
    """The same by their names, for tests that are too slow for all of them."""
    return VARIANTS


class RunCli(Protocol):
    """`edgevit` with these arguments in a process of its own, its output as text."""

    def __call__(
        self,
        *args: object,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 300,
        before: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


def _command(*args: object) -> list[str]:
    return [sys.executable, "-m", "edgevit", *map(str, args)]


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """Each command has a cache of its own, unless the test gives it one: a mishap must not find what a better run left."""
    given = {"NO_COLOR": "1", "COLUMNS": "200", **(env or {})}
    if "EDGEVIT_CACHE" not in given:
        given["EDGEVIT_CACHE"] = tempfile.mkdtemp(prefix="cache-")
    return {**os.environ, **given}


@pytest.fixture(scope="session", autouse=True)
def no_litter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """coremltools leaves a copy of each model that it converts among the temporary files."""
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        yield
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """`before` is called in the new process before Python starts in it."""

    def run(
        *args: object,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 300,
        before: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _command(*args), env=_environment(env), cwd=cwd, timeout=timeout, preexec_fn=before,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def start_cli() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`edgevit` begun in a session of its own, as a terminal does it; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            _command(*args), env=_environment(env), cwd=cwd, start_new_session=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


@pytest.fixture(scope="session")
def sabotage() -> Callable[..., dict[str, str]]:
    """The environment in which `edgevit` has a target `null`, torch in disguise, and meets the mishaps that are ordered.

    `absent` names packages as if not installed; each of `mishaps` is "module:function:n:what", as sabotage/sitecustomize.py
    says; `paused` is the file that tells of a pause.
    """

    def order(*mishaps: str, absent: tuple[str, ...] = (), paused: Path | None = None) -> dict[str, str]:
        return {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(SABOTAGE), os.environ.get("PYTHONPATH", "")])),
            "EDGEVIT_TEST_ABSENT": ",".join(absent),
            "EDGEVIT_TEST_MISHAP": ";".join(mishaps),
            "EDGEVIT_TEST_PAUSED": str(paused or ""),
        }

    return order


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class, three classes of 12 noisy images of one colour each, 30x24 pixels, as JPEG, PNG and WebP."""
    root = tmp_path_factory.mktemp("images") / "colours"
    random = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 90, (24, 30, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(root / name / f"{number:02d}.{('jpg', 'png', 'webp')[number % 3]}")
    return root


@pytest.fixture(scope="session")
def training(images: Path) -> tuple[str, ...]:
    """The arguments, all but --out and --epochs, with which `checkpoint` was trained."""
    return ("train", "--data", str(images), "--model", "Pico/8", "--image-size", "16", "--batch", "8")


@pytest.fixture(scope="session")
def checkpoint(run_cli: RunCli, training: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run: Pico/8 at 16 pixels, trained for one epoch on `images`. Not to be changed."""
    run = tmp_path_factory.mktemp("trained") / "run"
    ran = run_cli(*training, "--epochs", 1, "--out", run)
    assert ran.returncode == 0, ran.stderr
    return run


@pytest.fixture(scope="session")
def exported(run_cli: RunCli, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The output of `edgevit export --json` of `checkpoint` to the quickest target that is installed."""
    able = [name for name in QUICKEST if not targets.missing(targets.get(name))]
    if not able:
        pytest.skip("no back end is installed")
    out = tmp_path_factory.mktemp("exported")
    ran = run_cli("export", checkpoint, "--target", able[0], "--recipe", "fp32", "--out", out, "--json")
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.fixture(scope="session")
def artifact(exported: subprocess.CompletedProcess[str]) -> Path:
    """The folder of the artifact in `exported`. Not to be changed."""
    return Path(json.loads(exported.stdout)[0]["folder"])
