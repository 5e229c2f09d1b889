"""A learning rate chosen from several, by a part of the training images."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import pipeline
from edgevit.errors import BadInput, Diverged
from edgevit.pipeline import training, trying
from edgevit.training.images import choose
from edgevit.types import Checkpoint, Preprocess, TrainConfig, silent
from edgevit.vit.config import config

RunCli = Callable[..., subprocess.CompletedProcess[str]]
CHECKPOINT = Checkpoint(config("Pico/8", (32, 32), 2), Preprocess((32, 32), (32, 32)), ("a", "b"), {}, "", {})

TINY = TrainConfig(data="digits", model="Pico/8", epochs=2, batch=64, fraction=0.5)


@pytest.mark.slow
def test_the_best_of_the_grid_trains_on_everything(tmp_path: Path) -> None:
    found = pipeline.train_best_rate(TINY, (1e-7, 3e-3), tmp_path / "run", False, silent)
    assert found.train and (found.train.lr, found.train.dev) == (3e-3, 0.0)
    assert found.train.tried.keys() == {"1e-07", "0.003"} and found.train.tried["0.003"] > found.train.tried["1e-07"]
    assert os.listdir(tmp_path) == ["run"]


def test_nothing_is_tried_where_the_result_may_not_go(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="holds no run"):
        pipeline.train_best_rate(TINY, (1e-3,), tmp_path / "mine", True, lambda *step: pytest.fail("work began"))


def test_a_rate_that_diverges_is_no_choice_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(settings: TrainConfig, *rest: object) -> Checkpoint:
        if settings.lr != 3e-3:
            raise Diverged("the loss is no longer a number, in epoch 1")
        return dataclasses.replace(CHECKPOINT, metrics={"val_top1": 0.4}, train=settings)

    monkeypatch.setattr(training, "trained", tried)
    monkeypatch.setattr(training, "fit", tried)
    found = pipeline.train_best_rate(TINY, (3e-3, 10.0), tmp_path / "run", False, silent)
    assert found.train and found.train.lr == 3e-3 and found.train.tried == {"0.003": 0.4, "10": None}
    with pytest.raises(Diverged, match=r"with every learning rate.*: 5, 10"):
        pipeline.train_best_rate(TINY, (5.0, 10.0), tmp_path / "other", False, silent)


def test_what_chooses_is_neither_trained_on_nor_held_out() -> None:
    plain, part = (choose(dataclasses.replace(TINY, dev=dev)) for dev in (0.0, trying.DEV))
    learned, chooses, held_out = (set(images.names) for images in (part.train, part.held_out, plain.held_out))
    assert learned | chooses == set(plain.train.names) and not learned & chooses and not held_out & (learned | chooses)
    assert len(chooses) == pytest.approx(0.1 * len(plain.train), abs=10)


@pytest.mark.parametrize("grid", ["0,0.1", "0.1,-1", "nan", "1000", "0.1;0.2", ","])
def test_a_grid_that_cannot_be(grid: str, run_cli: RunCli, tmp_path: Path) -> None:
    found = run_cli("train", "--data", "digits", f"--lr-grid={grid}", "--out", tmp_path / "run")
    assert found.returncode == 2 and "error: " in found.stderr and "Traceback" not in found.stderr
    assert "epoch" not in found.stderr and not (tmp_path / "run").exists()
