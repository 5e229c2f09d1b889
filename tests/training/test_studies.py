"""The studies of benchmarks/ go on where they stopped, and take no run for another."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgevit import checkpoint as checkpoints
from edgevit import record
from edgevit.errors import BadInput

FILE = Path(__file__).parents[2] / "benchmarks" / "studies.py"
SETTINGS: dict[str, Any] = {"model": "Pico/8", "image_size": (16, 16), "batch": 8, "epochs": 1}
"""Those of the fixture `checkpoint`."""


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module; `asked` are the trainings that it would have begun and gone on with."""
    spec = importlib.util.spec_from_file_location("studies", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "studies", module)
    spec.loader.exec_module(module)
    module.asked = []
    monkeypatch.setattr(module, "top1", lambda run: 0.0)
    monkeypatch.setattr(module.pipeline, "train", lambda wanted, run, *_: module.asked.append(("train", run.name)))
    monkeypatch.setattr(module.pipeline, "resume", lambda given, run, *_: module.asked.append(("resume", run.name)))
    return module


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "run"))


def test_a_finished_run_is_read(studies: ModuleType, run: Path, images: Path) -> None:
    assert studies.Runs(str(images), run.parent).train("run", **SETTINGS) == run and studies.asked == []


def test_what_is_not_there_is_trained(studies: ModuleType, images: Path, tmp_path: Path) -> None:
    studies.Runs(str(images), tmp_path).train("other", **SETTINGS)
    assert studies.asked == [("train", "other")]


def test_an_interrupted_run_is_gone_on_with(studies: ModuleType, run: Path, images: Path) -> None:
    """`best` is there from the first epoch on."""
    made = checkpoints.read(run / "last")
    assert made.train
    record.write(run / "last" / checkpoints.RECORD, dataclasses.replace(made, train=dataclasses.replace(made.train, epochs=2)))
    studies.Runs(str(images), run.parent).train("run", **{**SETTINGS, "epochs": 2})
    assert studies.asked == [("resume", "run")]


@pytest.mark.parametrize(
    "other", [{"epochs": 2}, {"seed": 1}, {"model": "Pico/4"}, {"image_size": (32, 32)}, {"fraction": 0.5}, {"lr": 7.0}], ids=str
)
def test_a_run_of_other_settings_is_refused(studies: ModuleType, run: Path, images: Path, other: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=f"run has {next(iter(other))} .*, not") as caught:
        studies.Runs(str(images), run.parent).train("run", **{**SETTINGS, **other})
    assert "choose another --out" in caught.value.hint and studies.asked == []


def test_a_run_on_other_images_is_refused(studies: ModuleType, run: Path) -> None:
    with pytest.raises(BadInput, match=r"run has data .*, not digits"):
        studies.Runs("digits", run.parent).train("run", **SETTINGS)
