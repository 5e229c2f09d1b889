"""What a spec means: a built-in name, a folder that some source reads, or an error that says which it is not."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from edgevit import data
from edgevit.data import lasting, open_source
from edgevit.data.dataset import Dataset
from edgevit.errors import BadInput, UnknownName


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return open_source("digits")


def test_every_file_that_opens_a_source_is_asked() -> None:
    here = Path(data.__file__)
    files = [file.stem for file in here.parent.glob("*.py") if file != here and "def open_source" in file.read_text()]
    assert sorted(files) == sorted(data.SOURCES)
    for name in data.SOURCES:
        assert callable(importlib.import_module(f"edgevit.data.{name}").recognises)
    assert set(data.BUILT_IN) <= set(data.SOURCES)


@pytest.mark.parametrize("name", ["digit", "Digits", "mnist"])
def test_an_unknown_name_shows_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown data source: {name}") as caught:
        open_source(name)
    assert "known: digits" in caught.value.hint
    assert ("nearest: digits" in caught.value.hint) == (name != "mnist")


@pytest.mark.parametrize("spec", ["gone/images", "./gone", "gone.d", "gone.csv", "gone.npz", "gone.tar.gz"])
def test_a_folder_that_is_not_there(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=f"no such data: {spec}"):
        open_source(spec)


def test_a_file_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(BadInput, match="no data source reads this") as caught:
        open_source(str(tmp_path / "images.zip"))
    assert "a folder per class" in caught.value.hint and ".npz" in caught.value.hint and ".csv" in caught.value.hint


def test_digits_are_the_scans_of_scikit_learn(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    assert digits.labels == tuple("0123456789") and digits.native_size == 32 and not digits.photos
    assert (len(digits.train), len(digits.held_out), len(digits.split("all"))) == (1438, 359, 1797)
    scans = load_digits()
    both = digits.split("all")
    assert digits.named and not digits.has_held_out
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
    assert sorted(digits.all.names) == sorted([*digits.train.names, *digits.held_out.names])
    place = {name: i for i, name in enumerate(digits.all.names)}
    for part in (digits.train, digits.held_out):
        assert np.array_equal(digits.all.classes[[place[name] for name in part.names]], part.classes)
        assert digits.all.open(place[part.names[7]]).tobytes() == part.open(7).tobytes()


@pytest.mark.parametrize("made", ["images", "images/labels.csv"])
def test_a_lasting_path_leads_there_from_elsewhere(made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "one" / made
    place.parent.mkdir(parents=True)
    place.mkdir() if made == "images" else place.write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    monkeypatch.chdir(tmp_path / "one")
    assert lasting(made) == lasting(str(tmp_path / "link" / made)) == str(place.resolve())


def test_a_table_is_meant_from_the_folder_that_shows_it(tmp_path: Path) -> None:
    """Its images lie beside the link, not beside what the link leads to."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.csv").write_text("")
    (tmp_path / "labels.csv").symlink_to(tmp_path / "elsewhere" / "a.csv")
    assert lasting(str(tmp_path / "labels.csv")) == str(tmp_path.resolve() / "labels.csv")


def test_a_name_lasts_as_it_is_even_beside_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "hf:user"):
        (tmp_path / name).mkdir()
        assert lasting(name) == name
    assert lasting("gone") == "gone"
