"""Images into arrays: all of them, in order, and one rule for those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevit.data import decoding, open_source
from edgevit.data.dataset import Images
from edgevit.data.loading import Loader
from edgevit.data.preprocess import normalise
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Preprocess

PREPROCESS = Preprocess((4, 4), (4, 4))
BAD = (3, 10, 11)


def _grey(i: int) -> Image.Image:
    return Image.new("L", (4, 4), i)


def _some_bad(i: int) -> Image.Image:
    if i in BAD:
        raise DamagedFile(f"cannot decode {i}.jpg")
    return _grey(i)


def _images(n: int, opened=_grey) -> Images:  # type: ignore[no-untyped-def]
    return Images([f"{i}.jpg" for i in range(n)], np.arange(n) % 3, opened)


@pytest.mark.parametrize("size", [1, 7, 50, 64])
def test_all_images_in_order(size: int) -> None:
    batches = list(Loader(_images(50), PREPROCESS).batches(size))
    assert [len(pixels) for pixels, _ in batches[:-1]] == [size] * (len(batches) - 1)
    pixels, classes = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert pixels.shape == (50, 4, 4, 3) and pixels.dtype == np.uint8
    assert pixels[:, 0, 0, 0].tolist() == list(range(50)) and classes.tolist() == [i % 3 for i in range(50)]


def test_normalised_and_everything_are_the_same_images() -> None:
    pixels, classes = Loader(_images(9), PREPROCESS).everything()
    batches = list(Loader(_images(9), PREPROCESS).normalised(4))
    assert np.array_equal(np.concatenate([batch for batch, _ in batches]), normalise(pixels, PREPROCESS))
    assert np.array_equal(np.concatenate([numbers for _, numbers in batches]), classes)


def test_progress_counts_every_image() -> None:
    seen: list[tuple[str, float, float | None]] = []
    list(Loader(_images(10), PREPROCESS).batches(4, lambda *step: seen.append(step), "looking"))
    assert seen == [("looking", 4, 10), ("looking", 8, 10), ("looking", 10, 10)]


def test_a_bad_image_is_refused_by_name_with_the_way_out() -> None:
    with pytest.raises(DamagedFile, match=r"cannot decode 3\.jpg") as caught:
        list(Loader(_images(20, _some_bad), PREPROCESS).batches(8))
    assert caught.value.hint == "--on-bad-image skip goes on without it"


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_or_skipped_and_named(size: int) -> None:
    loader = Loader(_images(20, _some_bad), PREPROCESS, "skip")
    for _ in range(2):  # a second reading begins anew
        batches = list(loader.batches(size))
        kept = [i for i in range(20) if i not in BAD]
        assert np.concatenate([pixels for pixels, _ in batches])[:, 0, 0, 0].tolist() == kept
        assert np.concatenate([classes for _, classes in batches]).tolist() == [i % 3 for i in kept]
        assert sorted(loader.skipped) == sorted(f"{i}.jpg" for i in BAD)


def test_not_one_readable_image_is_refused_even_then() -> None:
    images = _images(20, _some_bad).take(BAD)
    with pytest.raises(BadInput, match="not one image could be read") as caught:
        list(Loader(images, PREPROCESS, "skip").batches(8))
    assert ".jpg" in caught.value.hint
    with pytest.raises(BadInput, match="not one image"):
        list(Loader(_images(0), PREPROCESS).batches(8))


def test_another_error_is_none_of_the_image_s() -> None:
    """A fault of ours is never taken for a bad image."""

    def broken(i: int) -> Image.Image:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Loader(_images(3, broken), PREPROCESS, "skip").batches(8))


@pytest.mark.parametrize("choice", ["ignore", "Skip", ""])
def test_an_unknown_choice_is_refused(choice: str) -> None:
    with pytest.raises(BadInput, match=f"unknown --on-bad-image: {choice}") as caught:
        Loader(_images(1), PREPROCESS, choice)
    assert caught.value.hint == "known: refuse, skip"


def test_a_folder_with_every_kind_of_bad_image(images: Path, tmp_path: Path) -> None:
    """Real files: one of each is named, and all that is whole is read."""
    for file in images.rglob("*.*"):
        (tmp_path / file.parent.name).mkdir(exist_ok=True)
        (tmp_path / file.parent.name / file.name).write_bytes(file.read_bytes())
    jpeg = (tmp_path / "red" / "00.jpg").read_bytes()
    (tmp_path / "red" / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "red" / "empty.png").write_bytes(b"")
    (tmp_path / "blue" / "text.webp").write_text("text")
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "blue" / "deep.png")
    Image.new("L", (60_000, 1)).save(tmp_path / "green" / "strip.png")
    found = open_source(str(tmp_path)).split("all")
    loader = Loader(found, Preprocess((256, 256), (224, 224)), "skip")
    pixels, _ = loader.everything()
    assert sorted(loader.skipped) == ["blue/deep.png", "blue/text.webp", "green/strip.png", "red/cut.jpg", "red/empty.png"]
    assert len(pixels) == 36
    with pytest.raises(DamagedFile, match=str(tmp_path)):
        Loader(found, Preprocess((256, 256), (224, 224))).everything()


def test_a_bomb_is_found_by_whichever_thread_meets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit kept by Python's warnings, which threads share, let one of some thousand through."""
    Image.new("RGB", (12, 12)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(decoding, "LARGEST", 100)
    bombs = Images([str(i) for i in range(3000)], np.zeros(3000, int), lambda i: decoding.open_image(tmp_path / "bomb.png"))
    loader = Loader(bombs, PREPROCESS, "skip")
    with pytest.raises(BadInput, match="not one image"):
        loader.everything()
    assert len(loader.skipped) == 3000
