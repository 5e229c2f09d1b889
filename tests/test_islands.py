"""A checkpoint whose MLP works with numbers that float16 does not hold, on the whole road of an export."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import targets
from edgevit import checkpoint as checkpoints
from edgevit import folder, pipeline
from edgevit.cli import figures
from edgevit.types import Checkpoint, DataChoice, Outcome, Preprocess, TrainConfig, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT

SHAPE = dataclasses.replace(config("Pico/8", (32, 32), 10), depth=2)
DATA = DataChoice("digits", "held-out", "refuse")
FACTOR = 4e4


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = ViT(SHAPE).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    mlp = model.blocks[1].mlp
    for tensor, factor in ((mlp.fc1.weight, FACTOR), (mlp.fc1.bias, FACTOR), (mlp.fc2.weight, 20 / FACTOR)):
        tensor.data *= factor
    torch.nn.init.normal_(model.head.weight)
    preprocess = Preprocess(SHAPE.image_size, SHAPE.image_size)
    record = Checkpoint(SHAPE, preprocess, tuple("0123456789"), {}, "", {}, TrainConfig("digits"))
    with folder.written_whole(tmp_path / "checkpoint", checkpoints.RECORD) as partial:
        checkpoints.save(partial, model, record)
    return tmp_path / "checkpoint"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_export_keeps_what_must_be_in_float32_and_says_so(source: Path, tmp_path: Path) -> None:
    names = ("coreml", "coreml-ane", "executorch-coreml")
    if any(targets.missing(targets.get(name)) for name in names):
        pytest.skip("a back end is not installed")
    pairs = [pipeline.Pair(name, "fp16") for name in names]
    made = {a.target: a for a in pipeline.export(source, pairs, DATA, tmp_path / "out", False, silent)}
    plain = made["coreml"]
    assert plain.outcome is Outcome.PASS, plain.reason
    assert {island.place.removeprefix("after ") for island in plain.islands} == {"blocks.1.mlp.fc1", "blocks.1.mlp.fc2"}
    written = json.loads((plain.folder / "artifact.json").read_text())
    assert [island["largest"] > 32752 for island in written["islands"]] == [True] * 3
    assert len(figures.island_rows(plain)) == 3 and any("blocks.1.mlp" in note for note in figures.artifact_notes([plain]))
    assert made["coreml-ane"].outcome is Outcome.UNDELEGATED and "float32" in made["coreml-ane"].reason
    only = made["executorch-coreml"]
    assert only.outcome is Outcome.WRONG_ANSWERS and "float16 overflows for" in only.reason and not only.islands
    assert np.isfinite(plain.relative_error or np.inf)
