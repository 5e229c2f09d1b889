"""What a spec means: a built-in name, a folder that some source reads, or an error that says which it is not."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from edgevit import data
from edgevit.data import open_source
from edgevit.data.dataset import Dataset
from edgevit.errors import BadInput, UnknownName


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return open_source("digits")


def test_every_file_that_opens_a_source_is_asked() -> None:
    files = [file.stem for file in Path(data.__file__).parent.glob("*.py") if "def recognises" in file.read_text()]
    assert sorted(files) == sorted(data.SOURCES)
    for name in data.SOURCES:
        assert callable(importlib.import_module(f"edgevit.data.{name}").open_source)
    assert set(data.BUILT_IN) <= set(data.SOURCES)


@pytest.mark.parametrize("name", ["digit", "Digits", "mnist"])
def test_an_unknown_name_shows_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown data source: {name}") as caught:
        open_source(name)
    assert "known: digits" in caught.value.hint
    assert ("nearest: digits" in caught.value.hint) == (name != "mnist")


@pytest.mark.parametrize("spec", ["gone/images", "./gone", "gone.d"])
def test_a_folder_that_is_not_there(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=f"no such data folder: {spec}"):
        open_source(spec)


def test_a_file_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(BadInput, match="no data source reads this") as caught:
        open_source(str(tmp_path / "images.zip"))
    assert "one folder per class" in caught.value.hint


def test_digits_are_the_scans_of_scikit_learn(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    assert digits.labels == tuple("0123456789") and digits.native_size == 32 and not digits.photos
    assert (len(digits.train), len(digits.held_out), len(digits.split("all"))) == (1438, 359, 1797)
    scans = load_digits()
    both = digits.split("all")
    for i in (0, 700, 1500, 1796):
        number = int(both.names[i].partition("/")[2])
        image = both.open(i)
        assert image.mode == "L" and image.size == (8, 8) and both.classes[i] == scans.target[number]
        assert np.array_equal(np.rint(np.asarray(image) * (16 / 255)), scans.images[number])


def test_digits_are_split_by_class_and_seed(digits: Dataset) -> None:
    assert not set(digits.train.names) & set(digits.held_out.names)
    share = np.bincount(digits.held_out.classes) / np.bincount(digits.split("all").classes)
    assert len(share) == 10 and (abs(share - 0.2) < 0.003).all()
    assert open_source("digits").held_out.names == digits.held_out.names
    assert set(open_source("digits", seed=1).held_out.names) != set(digits.held_out.names)
    assert len(open_source("digits", held_out=0.5).held_out) == pytest.approx(1797 / 2, abs=5)


def test_all_is_train_and_held_out_and_nothing_else(digits: Dataset) -> None:
    both = digits.split("all")
    assert both.names == [*digits.train.names, *digits.held_out.names]
    assert np.array_equal(both.classes, [*digits.train.classes, *digits.held_out.classes])
    n = len(digits.train)
    for i, (part, j) in {0: (digits.train, 0), n - 1: (digits.train, n - 1), n: (digits.held_out, 0)}.items():
        assert both.open(i).tobytes() == part.open(j).tobytes()
    with pytest.raises(BadInput, match="unknown split: heldout") as caught:
        digits.split("heldout")
    assert "held-out" in caught.value.hint
