"""A learning rate chosen from several, by a part of the training images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgevit import pipeline
from edgevit.errors import BadInput
from edgevit.types import TrainConfig, silent

TINY = TrainConfig(data="digits", model="Pico/8", epochs=2, batch=64, fraction=0.5)


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
