"""What a source gives: parts that are made when they are asked for, and a share of the training images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from edgevit.data.dataset import Dataset, Divided, Images, Undivided, divided, fewer
from edgevit.errors import BadInput

LABELS = ("a", "b")


def _images(*counts: int, start: int = 0, name: str = "") -> Images:
    """So many images of each class, each of its own width."""
    classes = np.repeat(np.arange(len(counts)), counts)
    return Images([f"{name}{i}" for i in range(len(classes))], classes, lambda i: Image.new("L", (start + i + 1, 1)))


def _set(parts: Divided | Undivided) -> Dataset:
    return Dataset("here", LABELS, parts, 32, photos=True)


def test_one_image_a_class_is_enough_to_be_tested_on() -> None:
    found = _set(Undivided(_images(1, 1), 0, 0.2))
    assert len(found.split("all")) == 2 and not found.has_held_out
    for part in ("train", "held-out"):
        with pytest.raises(BadInput, match="only one image in class a"):
            found.split(part)
    with pytest.raises(BadInput, match="no test images in here"):
        found.split("test")


def test_a_class_without_images_too() -> None:
    found = _set(Undivided(_images(3), 0, 0.2))
    assert len(found.all) == 3
    with pytest.raises(BadInput, match="no image in class b"):
        _ = found.held_out


def test_the_parts_of_undivided_images_are_made_once() -> None:
    found = _set(Undivided(_images(4, 6), 0, 0.5))
    assert found.train is found.train and sorted(found.train.names + found.held_out.names) == sorted(found.all.names)
    assert (len(found.train), len(found.held_out)) == (5, 5)


def test_all_joins_the_parts_in_their_order() -> None:
    found = _set(Divided(_images(1, 2, name="t"), _images(0, 1, start=10, name="h"), _images(2, 0, start=20, name="x")))
    assert found.all.names == ["t0", "t1", "t2", "h0", "x0", "x1"]
    assert found.all.classes.tolist() == [0, 1, 1, 1, 0, 0]
    assert [found.all.open(i).width for i in range(6)] == [1, 2, 3, 11, 21, 22]
    assert [len(found.split(part)) for part in ("train", "held-out", "test", "all")] == [3, 1, 2, 6]


@pytest.mark.parametrize(("absent", "name", "hint"), [("train", "train", "--split"), ("held_out", "held-out", "--split all")])
def test_a_part_that_the_source_lacks(absent: str, name: str, hint: str) -> None:
    found = _set(dataclasses.replace(Divided(_images(2, 2), _images(2, 2), _images(2, 2)), **{absent: None}))
    assert len(found.all) == 8 and found.has_held_out == (absent != "held_out")
    with pytest.raises(BadInput, match=f"no {name} images in here") as caught:
        found.split(name)
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["heldout", "Train", "", "spec", "auto"])
def test_an_unknown_split(name: str) -> None:
    with pytest.raises(BadInput, match=f"unknown split: {name}") as caught:
        _set(Undivided(_images(2, 2), 0, 0.2)).split(name)
    assert caught.value.hint == "known: train, held-out, test, all"


def test_what_val_and_test_become() -> None:
    train, val, test = _images(1), _images(2), _images(3)
    assert divided(train, val, test, 0, 0.2) == Divided(train, val, test)
    assert divided(train, val, None, 0, 0.2) == Divided(train, val)
    assert divided(train, None, test, 0, 0.2) == Divided(train, test)
    assert divided(None, None, test, 0, 0.2) == Divided(None, test)
    assert divided(train, None, None, 7, 0.3) == Undivided(train, 7, 0.3)


@pytest.mark.parametrize("labels", [(), ("cat",)])
def test_two_classes_are_needed(labels: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match=f"only one class in here: {''.join(labels)}"):
        Dataset("here", labels, Undivided(_images(3), 0, 0.2), 32, photos=True)


@given(some.lists(some.integers(1, 60), min_size=1, max_size=5), some.floats(0.001, 1), some.integers(0, 9))
def test_fewer_is_the_same_share_of_each_class_and_at_least_one(counts: list[int], fraction: float, seed: int) -> None:
    found = fewer(_images(*counts), len(counts), fraction, seed)
    assert np.bincount(found.classes).tolist() == [max(1, round(fraction * n)) for n in counts]


def test_fewer_keeps_order_names_and_pixels() -> None:
    images = _images(30, 50)
    found = fewer(images, 2, 0.3, 0)
    place = [images.names.index(name) for name in found.names]
    assert place == sorted(place) and [found.open(i).width for i in range(len(found))] == [i + 1 for i in place]
    assert fewer(images, 2, 1, 0).names == images.names


def test_fewer_is_chosen_by_the_seed_and_within_a_larger_share() -> None:
    images = _images(40, 40)
    chosen = {seed: set(fewer(images, 2, 0.2, seed).names) for seed in (0, 1)}
    assert chosen[0] == set(fewer(images, 2, 0.2, 0).names) != chosen[1]
    assert chosen[0] < set(fewer(images, 2, 0.5, 0).names)


def test_fewer_does_not_take_what_lies_next_to_the_held_out_images() -> None:
    """The split takes the first by its hash; a share of the rest by the same hash would not be drawn anew."""
    found = _set(Undivided(_images(100, 100), 0, 0.2))
    larger = _set(Undivided(_images(100, 100), 0, 0.4))
    next_to_it = set(larger.held_out.names) - set(found.held_out.names)
    assert set(fewer(found.train, 2, 0.25, 0).names) != next_to_it


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, 10, float("nan")])
def test_what_is_no_fraction(fraction: float) -> None:
    with pytest.raises(BadInput, match="not a fraction of the training images"):
        fewer(_images(3, 3), 2, fraction, 0)


def test_fewer_of_no_image() -> None:
    with pytest.raises(BadInput, match="no image to train on in class 1"):
        fewer(_images(3), 2, 0.5, 0)


@pytest.mark.parametrize("label", ["\ud800", "caf\udce9"])
def test_a_label_that_cannot_be_written_down(label: str) -> None:
    """A file name of bytes that are no UTF-8 becomes such a text; it would break the first checkpoint, an epoch later."""
    with pytest.raises(BadInput, match="not text") as caught:
        Dataset("x", ("a", label), Undivided(_images(1, 1), 0, 0.5), 8, photos=False)
    caught.value.message.encode()
