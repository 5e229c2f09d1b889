"""edgevit quantize: the ranking, its picture, the recipe of a mix that keeps to a budget; or one clear error and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import quantize
from edgevit import checkpoint as checkpoints
from edgevit import pipeline
from edgevit.errors import BadInput
from edgevit.folder import written_whole
from edgevit.types import Budget, Checkpoint, TrainConfig, silent
from quantize.mixing import model_bytes

RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("mixing") / "run"
    return pipeline.train(TrainConfig(data="digits", model="Pico/8", epochs=4, batch=64, lr=3e-3), out, False, silent)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("bytes=4MB", Budget("bytes", 4e6)),
        ("bytes=1.5GB", Budget("bytes", 1.5e9)),
        ("bytes=900", Budget("bytes", 900)),
        ("drop=0.3", Budget("drop", 0.003)),
    ],
)
def test_budgets(text: str, budget: Budget) -> None:
    found = pipeline.budget(text)
    assert (found.kind, found.limit) == (budget.kind, pytest.approx(budget.limit))


@pytest.mark.parametrize("text", ["size=3", "bytes=", "bytes=much", "drop=-1", "drop=nan", "bytes=inf", "", "drop"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(BadInput, match="not a budget"):
        pipeline.budget(text)


def run(run_cli: RunCli, source: Checkpoint, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run_cli("quantize", source.folder, "--out", out, "--calibration-images", "32", "--json", *more)


def test_a_mix_that_keeps_to_its_bytes(run_cli: RunCli, source: Checkpoint, tmp_path: Path) -> None:
    ran = run(run_cli, source, tmp_path / "out", "--budget", "bytes=170KB")
    found = json.loads(ran.stdout)
    assert ran.returncode == 0 and sorted(os.listdir(tmp_path / "out")) == ["analysis.json", "damage.png", "recipe.toml"]
    assert len(found["layers"]) == 17 and [step["raised"] for step in found["steps"]] == [0, len(found["raised"])]
    first, last = found["steps"]
    assert (first["step"], last["step"]) == ("rounded", "mixed")
    assert 0 < len(found["raised"]) < 17 and first["bytes"] < last["bytes"] <= 170_000
    recipe = quantize.get(str(tmp_path / "out" / "recipe.toml"))
    assert [rule.match for rule in recipe.layers] == found["raised"] and recipe.weights.name == "int4-g32"
    with Image.open(tmp_path / "out" / "damage.png") as picture:
        assert picture.width > 600 and picture.height > 300
    again = run(run_cli, source, tmp_path / "out")
    assert again.returncode == 2 and "already exists" in again.stderr


def test_a_mix_that_keeps_to_its_drop(run_cli: RunCli, source: Checkpoint, tmp_path: Path) -> None:
    """A drop that all in 4 bits keep to: nothing is raised, the one step says so, and nobody ranks what nobody asked for."""
    ran = run(run_cli, source, tmp_path / "out", "--budget", "drop=50")
    found = json.loads(ran.stdout)
    assert ran.returncode == 0 and found["raised"] == [] and len(found["steps"]) == 1 and found["steps"][0]["holds"]
    assert found["layers"] == [] and sorted(os.listdir(tmp_path / "out")) == ["analysis.json", "recipe.toml"]
    again = run(run_cli, source, tmp_path / "out", "--budget", "drop=50", "--analyse", "--force")
    assert len(json.loads(again.stdout)["layers"]) == 17 and (tmp_path / "out" / "damage.png").exists()


@pytest.fixture(scope="module")
def rough(source: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Path]:
    """The same function in weights that one scale for a row cannot hold, and a recipe that rounds them as they are."""
    place = tmp_path_factory.mktemp("rough")
    record, vit = checkpoints.load(source.folder)
    width = record.config.width
    factor = torch.logspace(-1.5, 1.5, width)
    for block in vit.layers():
        block.attn.qkv.weight.data[-width:] *= factor[:, None]
        block.attn.qkv.bias.data[-width:] *= factor
        block.attn.proj.weight.data /= factor
    with written_whole(place / "checkpoint", checkpoints.RECORD) as partial:
        checkpoints.save(partial, vit, record)
    (place / "rough.toml").write_text('base = "int4"\nrounding = "nearest"\nsmoothing = false\nbias_correction = false\n')
    return checkpoints.read(place / "checkpoint"), place / "rough.toml"


def within(rough: tuple[Checkpoint, Path]) -> tuple[str, ...]:
    """Budgets within which no layer can be raised, and little may be lost."""
    source, recipe = rough
    size = model_bytes(checkpoints.load(source.folder)[1], quantize.get(str(recipe)))
    return "--recipe", str(recipe), "--budget", f"bytes={size + 100}", "--budget", "drop=15"


@pytest.mark.slow
def test_it_climbs_to_training_where_a_mix_drops_too_much(
    run_cli: RunCli, rough: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    """After training it answers nearly as well as the float model did."""
    out, source = tmp_path / "out", rough[0]
    ran = run(run_cli, source, out, *within(rough), "--epochs", "6")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    steps = found["steps"]
    assert [step["step"] for step in steps] == ["rounded", "trained"]
    assert steps[0]["drop"] > 0.15 >= steps[-1]["drop"] and steps[-1]["holds"] and found["holds"]
    assert json.loads((out / "analysis.json").read_text())["trained"] == "trained"
    made = checkpoints.read(out / "trained")
    assert made.train and made.train.quantize == str(out / "recipe.toml") and made.train.teacher == str(source.folder)


def test_without_training_a_drop_that_no_mix_keeps_to_is_an_error(
    run_cli: RunCli, rough: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    ran = run(run_cli, rough[0], tmp_path / "out", *within(rough), "--epochs", "0")
    said = " ".join(ran.stderr.split())
    assert ran.returncode == 2 and "and a drop of 15 points" in said and "without --epochs 0" in said
    assert not (tmp_path / "out").exists()


def test_a_budget_that_nothing_meets_says_the_best_that_was_found(run_cli: RunCli, source: Checkpoint, tmp_path: Path) -> None:
    ran = run(run_cli, source, tmp_path / "out", "--budget", "bytes=50KB")
    assert ran.returncode == 2 and "Traceback" not in ran.stderr and not (tmp_path / "out").exists()
    assert "no mix of int4-g32 and int8 keeps to 0.05 MB: the best found, rounded, has 0.14 MB" in " ".join(ran.stderr.split())


def test_layers_raised_to_float(run_cli: RunCli, source: Checkpoint, tmp_path: Path) -> None:
    ran = run(run_cli, source, tmp_path / "out", "--budget", "bytes=200KB", "--raise-to", "fp32")
    found = json.loads(ran.stdout)
    assert ran.returncode == 0 and all((layer["high_kl"], layer["high_flips"]) == (0, 0) for layer in found["layers"])
    recipe = quantize.get(str(tmp_path / "out" / "recipe.toml"))
    assert {form.name for form in recipe.forms} == {"int4-g32", "fp32"} and found["steps"][-1]["bytes"] <= 200_000


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--recipe", "fp32"), "fp32 quantizes nothing"),
        (("--raise-to", "fp16"), "layers cannot be raised to fp16"),
        (("--recipe", "int3"), "unknown recipe: int3"),
        (("--budget", "bytes=lots"), "not a budget"),
        (("--budget", "drop=1", "--budget", "drop=2"), "two budgets of one kind"),
        (("--calibrate", "digits", "--split", "train"), "calibrated on and checked on"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_one_clear_error(more: tuple[str, ...], words: str, run_cli: RunCli, source: Checkpoint, tmp_path: Path) -> None:
    ran = run(run_cli, source, tmp_path / "out", *more)
    assert ran.returncode == 2 and words in " ".join(ran.stderr.split()) and "Traceback" not in ran.stderr
    assert not (tmp_path / "out").exists()
