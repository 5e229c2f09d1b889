"""Which images a recipe may look at, and what is wrong with others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import quantize
from edgevit.errors import BadInput
from edgevit.jobs import quantize as job
from edgevit.pipeline import calibrating
from edgevit.types import Calibration, Checkpoint, DataChoice, Preprocess, TrainConfig
from edgevit.vit.config import config

HELD_OUT = DataChoice("digits", "held-out", "refuse")
NEEDS, NEEDS_NONE = quantize.get("int4-g32"), quantize.get("int8")


@pytest.fixture
def source() -> Checkpoint:
    shape = config("Pico/8", (32, 32), 10)
    return Checkpoint(shape, Preprocess((32, 32), (32, 32)), tuple("0123456789"), {}, "", {}, TrainConfig("digits"))


def folder(place: Path, classes: dict[str, int], size: tuple[int, int] = (32, 32)) -> str:
    generator = np.random.default_rng(0)
    for name, count in classes.items():
        (place / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(place / name / f"{i}.png")
    return str(place)


def test_by_default_what_the_checkpoint_was_trained_on(source: Checkpoint) -> None:
    found = calibrating.images(source, [NEEDS_NONE, NEEDS], None, HELD_OUT)
    assert found == Calibration(DataChoice("digits", "train", "refuse"), 256)
    assert calibrating.words(found) == "up to 256 images of digits (train)"
    assert calibrating.images(source, [NEEDS_NONE], None, HELD_OUT) is None


def test_a_checkpoint_of_others_needs_to_be_told(source: Checkpoint) -> None:
    foreign = dataclasses.replace(source, train=None)
    with pytest.raises(BadInput, match="int4-g32 looks at images") as caught:
        calibrating.images(foreign, [NEEDS], None, HELD_OUT)
    assert "--calibrate" in caught.value.hint
    assert calibrating.images(foreign, [NEEDS_NONE], None, HELD_OUT) is None


def test_images_that_it_is_checked_on_are_refused(source: Checkpoint) -> None:
    with pytest.raises(BadInput, match="calibrated on and checked on"):
        calibrating.images(source, [NEEDS], Calibration(HELD_OUT, 9), HELD_OUT)


@pytest.mark.parametrize(
    ("looked_at", "checked_on", "refused"),
    [
        ("train", "auto", False), ("train", "held-out", False), ("train", "train", True), ("train", "all", True),
        ("all", "auto", True), ("all", "held-out", True),
    ],
)  # fmt: skip
def test_parts_of_one_source_may_not_overlap(looked_at: str, checked_on: str, refused: bool, source: Checkpoint) -> None:
    """What `auto` comes to is the held-out part of what the checkpoint was trained on, and of others perhaps all."""
    asked, checked = Calibration(DataChoice("digits", looked_at, "refuse"), 9), DataChoice("digits", checked_on, "refuse")
    if not refused:
        assert calibrating.images(source, [NEEDS], asked, checked) == asked
        return
    with pytest.raises(BadInput, match="calibrated on and checked on"):
        calibrating.images(source, [NEEDS], asked, checked)


def test_images_are_spread_over_the_source_and_preprocessed(source: Checkpoint) -> None:
    made = job.calibration_images(source, Calibration(DataChoice("digits", "train", "refuse"), 50), lambda *_: None)
    assert made.shape == (50, 3, 32, 32) and made.dtype == np.float32
    assert job._spread(1000, 3) == [0, 500, 999]
    assert job._spread(2, 9) == [0, 1]


def test_images_of_another_size_and_without_classes_do(source: Checkpoint, tmp_path: Path) -> None:
    spec = folder(tmp_path, {"all": 3}, (57, 40))
    made = job.calibration_images(source, Calibration(DataChoice(f"{spec}/all", "all", "refuse"), 50), lambda *_: None)
    assert made.shape[1:] == (3, 32, 32)


@pytest.mark.parametrize(
    ("classes", "words"),
    [({}, "no image|no class|empty"), ({"3": 4, "5": 0}, "one class|no image|empty|class")],
    ids=["empty", "one"],
)
def test_a_folder_to_learn_nothing_from_is_refused(
    classes: dict[str, int], words: str, source: Checkpoint, tmp_path: Path
) -> None:
    place = tmp_path / "images"
    place.mkdir()
    chosen = Calibration(DataChoice(folder(place, classes), "all", "refuse"), 50)
    with pytest.raises(BadInput, match=words):
        job.calibration_images(source, chosen, lambda *_: None)


def test_one_class_alone_is_refused(source: Checkpoint, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    np.savez(
        tmp_path / "one.npz", train_images=pixels, train_labels=np.full(20, 3), test_images=pixels, test_labels=np.arange(20) % 10
    )
    chosen = Calibration(DataChoice(str(tmp_path / "one.npz"), "train", "refuse"), 50)
    with pytest.raises(BadInput, match="all images to calibrate on are of one class"):
        job.calibration_images(source, chosen, lambda *_: None)
    whole = dataclasses.replace(chosen, data=DataChoice(str(tmp_path / "one.npz"), "held-out", "refuse"))
    assert len(job.calibration_images(source, whole, lambda *_: None)) == 20
