"""The split: the same share of each class, chosen by the seed and the name of each image alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from edgevit.data.dataset import Images, split_by_class
from edgevit.errors import BadInput


def _images(counts: dict[str, int]) -> tuple[Images, tuple[str, ...]]:
    names = [f"{label}/{i:03d}.png" for label, count in counts.items() for i in range(count)]
    classes = np.repeat(np.arange(len(counts)), list(counts.values()))
    return Images(names, classes, lambda i: Image.new("L", (i + 1, 1))), tuple(counts)


@given(some.lists(some.integers(2, 40), min_size=2, max_size=5), some.floats(0.01, 0.99), some.integers(0, 9))
def test_every_class_is_on_both_sides_by_its_share(counts: list[int], held_out: float, seed: int) -> None:
    images, labels = _images({chr(97 + i): n for i, n in enumerate(counts)})
    train, aside = split_by_class(images, labels, seed, held_out)
    assert sorted([*train.names, *aside.names]) == sorted(images.names)
    for number, n in enumerate(counts):
        out = int((aside.classes == number).sum())
        assert 1 <= out <= n - 1 and abs(out - held_out * n) <= 1


def test_images_keep_their_order_names_classes_and_pixels() -> None:
    images, labels = _images({"a": 10, "b": 10})
    for part in split_by_class(images, labels, 0, 0.3):
        positions = [images.names.index(name) for name in part.names]
        assert positions == sorted(positions)
        assert [images.classes[i] for i in positions] == part.classes.tolist()
        assert [part.open(i).width for i in range(len(part))] == [position + 1 for position in positions]


def test_the_seed_decides() -> None:
    images, labels = _images({"a": 50, "b": 50})
    sets = [frozenset(split_by_class(images, labels, seed, 0.2)[1].names) for seed in (0, 0, 1, 2)]
    assert sets[0] == sets[1] and len(set(sets)) == 3


def test_an_added_image_moves_no_other_to_the_other_side() -> None:
    """At most one changes sides, where the share of the larger class is one image more; none where it is not."""
    before, labels = _images({"a": 50, "b": 50})
    aside = set(split_by_class(before, labels, 0, 0.2)[1].names)
    for added in (1, 2, 5):
        after, _ = _images({"a": 50 + added, "b": 50})
        now = set(split_by_class(after, labels, 0, 0.2)[1].names)
        new = {name for name in after.names if name not in before.names}
        assert {name for name in now if name.startswith("b")} == {name for name in aside if name.startswith("b")}
        assert len((aside ^ now) - new) <= max(1, len(new))
    fewer = Images(before.names[1:], before.classes[1:], before.open)
    assert len((aside ^ set(split_by_class(fewer, labels, 0, 0.2)[1].names)) - {before.names[0]}) <= 1


def test_the_split_is_pinned() -> None:
    """A checkpoint's held-out images must be the same in the next version, or it would be tested on what it was trained on."""
    images, labels = _images({"cat": 10, "dog": 5})
    assert list(split_by_class(images, labels, 0, 0.2)[1].names) == ["cat/007.png", "cat/009.png", "dog/003.png"]


@pytest.mark.parametrize(("count", "words"), [(1, "only one image in class b"), (0, "no image in class b")])
def test_a_class_that_cannot_be_split(count: int, words: str) -> None:
    images, labels = _images({"a": 5, "b": count, "c": 5})
    with pytest.raises(BadInput, match=words) as caught:
        split_by_class(images, labels, 0, 0.2)
    assert "held out" in caught.value.hint
