"""`edgevit explain`, and an evaluation in pictures: whole folders, complete records, plain errors."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import pipeline, record
from edgevit.checks import evaluation
from edgevit.errors import BadInput
from edgevit.jobs import look
from edgevit.types import Artifact, Checkpoint, DataChoice, Inside, Outcome, Preprocess, ResNetStem, ViTConfig, silent
from edgevit.vit.model import ViT

PLAIN = ViTConfig("Pico/8", (16, 24), 8, 32, 2, 2, 64, 3)
Ran = subprocess.CompletedProcess[str]
RunCli = Callable[..., Ran]

LABELS = ("blue", "green", "red")


def saved(config: ViTConfig, into: Path) -> Path:
    """A checkpoint that nobody trained, as an import leaves it."""
    torch.manual_seed(0)
    model = ViT(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    into.mkdir()
    preprocess = Preprocess(config.image_size, config.image_size)
    checkpoints.save(into, model, Checkpoint(config, preprocess, LABELS[: config.classes], {}, "", {}, source="a test"))
    return into


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    random = np.random.default_rng(0)
    paths = tmp_path / "a photo.png", tmp_path / "other.jpg"
    for path, size in zip(paths, ((40, 60, 3), (30, 20, 3)), strict=True):
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(path)
    return paths


def is_png(path: Path) -> bool:
    with Image.open(path, formats=["PNG"]) as image:
        image.load()
        return image.width > 150 and image.height > 90 and len(image.convert("RGB").getcolors(1 << 24)) > 20


KINDS: list[dict[str, Any]] = [
    {},
    {"pool": "mean", "positions": "sincos"},
    {"pool": "distilled", "registers": 2},
    {"positions": "relative", "image_size": (16, 16)},
    {"positions": "none", "pool": "mean", "registers": 1},
    {"positions": "2d", "representation": 8},
    {"stem": ResNetStem((1, 1), 16)},
    {"classes": 0},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_of_model_can_be_looked_into(kind: dict[str, Any], photos: tuple[Path, Path], tmp_path: Path) -> None:
    config = dataclasses.replace(PLAIN, **kind)
    found = look.explain(saved(config, tmp_path / "model"), photos, None, tmp_path / "out", silent)
    drawn = {"filters.png", "distance.png", "attention-01.png", "attention-02.png"}
    drawn |= set() if config.positions == "none" else {"positions.png"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == drawn | {"explain.json", "arrays.npz"}
    assert {picture.file for picture in found.pictures} == drawn
    assert all(is_png(tmp_path / "out" / name) for name in drawn)
    assert record.read(tmp_path / "out/explain.json", Inside) == found
    assert np.shape(found.distances.pixels) == (2, 2) and found.distances.source == "the images that were named"
    for image in found.images:
        assert np.shape(image.rollout) == config.grid and np.sum(image.rollout) == pytest.approx(1)
        assert len(image.labels) == config.classes and sum(image.scores) == pytest.approx(1 if config.classes else 0)
    with np.load(tmp_path / "out/arrays.npz", allow_pickle=False) as arrays:
        assert arrays["rollouts"].shape == (2, *config.grid) and arrays["filters"].shape[3] == 3
        assert arrays["distances"].tolist() == [list(row) for row in found.distances.pixels]
    if config.positions == "none":
        assert found.notes == ("position embeddings: this model has none to draw (positions: none)",)


def test_without_any_image_the_weights_are_shown_and_the_rest_says_why(tmp_path: Path) -> None:
    found = look.explain(saved(PLAIN, tmp_path / "model"), (), None, tmp_path / "out", silent)
    assert {picture.file for picture in found.pictures} == {"filters.png", "positions.png"}
    assert found.images == () and found.distances.pixels == ()
    assert "attention distance: not measured: no images were named" in found.notes[0]


def test_distances_are_over_the_data_and_skipped_images_are_named(images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in LABELS:
        (data / name).mkdir(parents=True)
        for number in range(3):
            (data / name / f"{number}.png").write_bytes((images / name / f"{number * 3 + 1:02d}.png").read_bytes())
    (data / "red/1.png").write_bytes(b"no image")
    choice = DataChoice(str(data), "all", "skip")
    found = look.explain(saved(PLAIN, tmp_path / "model"), (), choice, tmp_path / "out", silent)
    assert (found.distances.images, found.distances.source) == (8, f"all of {data}")
    assert found.notes == ("skipped, unreadable: red/1.png",)


def test_the_command(run_cli: RunCli, checkpoint: Path, images: Path, tmp_path: Path) -> None:
    photo = images / "red/00.jpg"
    ran = run_cli("explain", checkpoint, photo, "--out", tmp_path / "out", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found == json.loads((tmp_path / "out/explain.json").read_text())
    keys = "checkpoint variant filters positions distances images pictures notes"
    assert list(found) == keys.split() and found["images"][0]["image"] == str(photo)
    assert found["distances"]["images"] > 1 and str(images) in found["distances"]["source"]
    again = run_cli("explain", checkpoint, photo, "--out", tmp_path / "out")
    assert again.returncode == 2 and "already exists" in again.stderr and "--force" in again.stderr
    forced = run_cli("explain", checkpoint, photo, "--out", tmp_path / "out", "--force")
    assert forced.returncode == 0 and f"{photo}: " in forced.stdout and str(tmp_path / "out/attention-01.png") in forced.stdout


def _refused(ran: Ran, words: str) -> None:
    assert ran.returncode == 2 and words in ran.stderr, ran.stderr
    assert ran.stdout == "" and "Traceback" not in ran.stderr and ran.stderr.count("error:") == 1


def test_what_cannot_be_looked_at(run_cli: RunCli, photos: tuple[Path, Path], tmp_path: Path) -> None:
    model, out = saved(PLAIN, tmp_path / "model"), tmp_path / "out"
    _refused(run_cli("explain", model, "none.png", "--out", out), "error: no such image: none.png")
    _refused(run_cli("explain", model, tmp_path, "--out", out), f"error: no such image: {tmp_path}")
    _refused(run_cli("explain", tmp_path / "none", "--out", out), "error: no such checkpoint")
    (tmp_path / "bad.png").write_bytes(b"no image")
    _refused(run_cli("explain", model, tmp_path / "bad.png", "--out", out), "error: not a JPEG, PNG or WebP image")
    _refused(run_cli("explain", model, photos[0], "--out", photos[1]), f"error: not a folder: {photos[1]}")
    assert not out.exists()


def test_an_artifact_names_its_checkpoint(run_cli: RunCli, tmp_path: Path) -> None:
    model = saved(PLAIN, tmp_path / "model")
    exported = tmp_path / "export/null-fp32"
    exported.mkdir(parents=True)
    record.write(exported / artifacts.RECORD, Artifact("null", "fp32", Outcome.PASS, checkpoint="../../model"))
    ran = run_cli("explain", exported, "--out", tmp_path / "out", cwd=tmp_path)
    _refused(ran, f"error: an artifact has no attention to look at: {exported}")
    assert "hint: its checkpoint has: edgevit explain model" in ran.stderr and model.is_dir()


# The evaluation in pictures.


def test_an_evaluation_in_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    found = evaluation.evaluate(random.normal(size=(60, 3)), random.integers(0, 3, 60), LABELS)
    files = pipeline.draw_evaluation(found, tmp_path / "out", silent)
    assert [file.name for file in files] == ["evaluation.json", "confusion.png", "reliability.png"]
    assert all(is_png(file) for file in files[1:])
    assert record.read(files[0], type(found)) == found
    with pytest.raises(BadInput, match="already exists"):
        pipeline.refuse_evaluated(tmp_path / "out", False)
    pipeline.refuse_evaluated(tmp_path / "out", True)


def test_eval_draws_where_it_is_told_to(run_cli: RunCli, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run_cli("eval", checkpoint, "--out", out, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found == json.loads((out / "evaluation.json").read_text())
    assert {"top1", "top5", "loss", "low", "high", "ece", "bins", "per_class", "confused", "images", "skipped"} == set(found)
    assert sum(score["images"] for score in found["per_class"]) == found["images"] == sum(b["images"] for b in found["bins"])
    assert is_png(out / "confusion.png") and is_png(out / "reliability.png")
    _refused(run_cli("eval", checkpoint, "--out", out), "error: already exists")
    said = run_cli("eval", checkpoint, "--out", out, "--force").stdout
    assert re.match(r"top-1 [\d.]+ % of \d+ images \(95 % interval [\d.]+ to [\d.]+\), loss [\d.]+\n", said)
    assert "expected calibration error" in said and "red: " in said and str(out / "confusion.png") in said


def test_the_report_gets_the_evaluation_and_what_is_inside(images: Path, tmp_path: Path) -> None:
    saved(PLAIN, tmp_path / "model")
    golden = np.random.default_rng(0).normal(size=(6, 3, 16, 24)).astype(np.float32)
    (tmp_path / "artifact").mkdir()
    artifacts.write_golden(tmp_path / "artifact", artifacts.Golden(golden, np.zeros(6, int), np.zeros((6, 3), np.float32)))
    made = Artifact("null", "fp32", Outcome.PASS, checkpoint="../model", data=str(images), folder=tmp_path / "artifact")
    found, evaluated = look.evaluated(made, silent)
    assert found and found.images == 36, "nobody trained it, so all images are new to it"
    inside = look.inside(made, silent)
    titles = ["Filters of the patch embedding", "Similarity of position embeddings", "Mean attention distance"]
    assert [p.title for p in inside.pictures[:3]] == titles and len(inside.pictures) == 3 + look.IN_REPORT
    assert [p.title for p in evaluated.pictures] == ["Confusion of 3 classes", "Confidence and accuracy"]
    for picture in (*inside.pictures, *evaluated.pictures):
        assert picture.light.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) and picture.light != picture.dark
    assert "6 images (the golden images" in inside.pictures[2].words and inside.notes == evaluated.notes == ()


def test_the_report_is_told_why_there_is_nothing(tmp_path: Path) -> None:
    gone = Artifact("null", "fp32", Outcome.PASS, checkpoint="nowhere", data="digits", folder=tmp_path)
    found, gallery = look.evaluated(gone, silent)
    assert found is None and "not measured: no such checkpoint" in gallery.notes[0]
    assert "not drawn: no such checkpoint" in look.inside(gone, silent).notes[0]


def test_an_encoder_of_images_without_labels(run_cli: RunCli, images: Path, tmp_path: Path) -> None:
    flat, run = tmp_path / "flat", tmp_path / "run"
    flat.mkdir()
    for number, photo in enumerate(sorted(images.rglob("*.png"))):
        (flat / f"{number}.png").write_bytes(photo.read_bytes())
    options = ("--model", "Pico/8", "--image-size", "32", "--epochs", "1")
    trained = run_cli("pretrain", "--data", flat, *options, "--out", run)
    assert trained.returncode == 0, trained.stderr
    seen = run_cli("explain", run, flat / "0.png", "--out", tmp_path / "out", "--json")
    assert seen.returncode == 0, seen.stderr
    found = json.loads(seen.stdout)
    assert found["distances"]["images"] > 1 and found["images"][0]["labels"] == []
    _refused(run_cli("predict", run, flat / "0.png"), "has no head: it is pre-trained only")
    _refused(run_cli("eval", run), "has no head: it is pre-trained only")
