"""Data sets of Hugging Face: saved ones with every pixel and name, and what is said without the library or a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgevit.data import lasting, open_source
from edgevit.errors import BadInput, DamagedFile, NotInstalled

PETS = ["dog", "cat"]


@pytest.fixture
def hf() -> Any:
    return pytest.importorskip("datasets")


def _image(i: int, mode: str = "RGB") -> Image.Image:
    """A noisy image of its own, 40 pixels wide."""
    return Image.fromarray(np.random.default_rng(i).integers(0, 256, (30, 40, 3), np.uint8)).convert(mode)


def _data(
    hf: Any, n: int = 6, *, mode: str = "RGB", names: list[str] = PETS, labels: list[int] | None = None, **more: Any
) -> Any:
    features = {"image": hf.Image(), "label": hf.ClassLabel(names=names), **{name: hf.Value("int64") for name in more}}
    columns = {"image": [_image(i, mode) for i in range(n)], "label": labels or [i % 2 for i in range(n)], **more}
    return hf.Dataset.from_dict(columns, features=hf.Features(features))


def _saved(path: Path, data: Any) -> str:
    data.save_to_disk(str(path))
    return str(path)


def _refused(spec: str, words: str, kind: type[BadInput] = BadInput) -> BadInput:
    with pytest.raises(kind, match=words) as caught:
        open_source(spec)
    assert "\n" not in caught.value.message
    return caught.value


def test_a_saved_data_set_without_splits(hf: Any, tmp_path: Path) -> None:
    found = open_source(_saved(tmp_path / "pets", _data(hf, more=[7] * 6)))
    assert found.labels == ("dog", "cat") and found.named and found.photos and found.native_size == 40
    assert found.all.classes.tolist() == [0, 1] * 3 and not found.has_held_out and len(found.held_out) == 2
    for i in range(6):
        assert np.array_equal(np.asarray(found.all.open(i)), np.asarray(_image(i)))


@pytest.mark.parametrize("val", ["validation", "val", "valid"])
def test_saved_splits(val: str, hf: Any, tmp_path: Path) -> None:
    splits = {"test": _data(hf, 2), "train": _data(hf, 6), val: _data(hf, 4), "extra": _data(hf, 1)}
    found = open_source(_saved(tmp_path / "pets", hf.DatasetDict(splits)))
    assert [len(found.split(part)) for part in ("train", "held-out", "test", "all")] == [6, 4, 2, 12]
    assert found.train.names[5] == "train/00005" and found.test.names[0] == "test/00000"


def test_without_validation_test_is_held_out(hf: Any, tmp_path: Path) -> None:
    found = open_source(_saved(tmp_path / "pets", hf.DatasetDict(train=_data(hf, 6), test=_data(hf, 2))))
    assert (len(found.train), len(found.held_out)) == (6, 2)


def test_test_images_of_a_contest_have_no_labels(hf: Any, tmp_path: Path) -> None:
    splits = {"train": _data(hf), "validation": _data(hf, 2), "test": _data(hf, 3, labels=[-1] * 3)}
    found = open_source(_saved(tmp_path / "pets", hf.DatasetDict(splits)))
    assert len(found.all) == 8
    with pytest.raises(BadInput, match="no test images"):
        found.split("test")


@pytest.mark.parametrize(("mode", "photos"), [("L", False), ("RGB", True)])
def test_grey_images_are_no_photographs(mode: str, photos: bool, hf: Any, tmp_path: Path) -> None:
    found = open_source(_saved(tmp_path / "pets", _data(hf, mode=mode)))
    assert found.photos == photos and found.all.open(0).mode == mode


def test_a_shuffled_and_filtered_set_keeps_each_image_with_its_class(hf: Any, tmp_path: Path) -> None:
    """Such a set is indices into another."""
    shuffled = _data(hf, 20).shuffle(seed=1).select(range(3, 15))
    found = open_source(_saved(tmp_path / "pets", shuffled))
    assert found.all.classes.tolist() == [row["label"] for row in shuffled]
    for i in range(12):
        assert found.all.open(i).tobytes() == shuffled[i]["image"].tobytes()


def test_of_several_columns_of_classes_the_one_that_is_meant(hf: Any, tmp_path: Path) -> None:
    data = _data(hf).rename_column("label", "fine_label").add_column("coarse_label", [0] * 6)
    data = data.cast_column("coarse_label", hf.ClassLabel(names=["pet"]))
    assert open_source(_saved(tmp_path / "pets", data)).labels == ("dog", "cat")
    _refused(_saved(tmp_path / "other", data.rename_column("fine_label", "kind")), "2 columns of classes in .*kind .ClassLabel.")


def test_a_damaged_image_is_refused_when_it_is_opened(hf: Any, tmp_path: Path) -> None:
    data = _data(hf).cast_column("image", hf.Image(decode=False))
    data = data.map(
        lambda row, i: {"image": {"bytes": row["image"]["bytes"][: 100 if i == 2 else None], "path": None}}, with_indices=True
    )
    found = open_source(_saved(tmp_path / "pets", data))
    assert found.all.open(1).size == (40, 30)
    with pytest.raises(DamagedFile, match="cannot decode image 2 of train of"):
        found.all.open(2)


def test_what_is_no_set_of_labelled_images(hf: Any, tmp_path: Path) -> None:
    whole = _data(hf)
    more = whole.select_columns("image").rename_column("image", "more")
    numbers = {"label": [0, 1], "image": [_image(0), _image(1)]}
    wrong = {
        "no columns of images in .*: label .ClassLabel.": whole.remove_columns("image"),
        "no columns of classes in .*: image .Image.": whole.remove_columns("label"),
        "no columns of classes in .*: .*label .Value.": hf.Dataset.from_dict(numbers).cast_column("image", hf.Image()),
        "2 columns of images in": hf.concatenate_datasets([whole, more], axis=1),
        "images without a class in the split train of": _data(hf, labels=[0, 1, 0, -1, 0, 1]),
        "no split of .* has labels": _data(hf, labels=[-1] * 6),
        "only one class in": _data(hf, names=["dog"], labels=[0] * 6),
        "have other columns or classes: train, test": hf.DatasetDict(train=whole, test=_data(hf, names=["cat", "dog"])),
        "no split of .* is train, validation or test: a, b": hf.DatasetDict(a=whole, b=whole),
    }
    for number, (words, data) in enumerate(wrong.items()):
        _refused(_saved(tmp_path / str(number), data), words)


def test_no_images_at_all(hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library cannot open one that it saved without rows; from the Hub it comes."""
    with pytest.raises(DamagedFile, match="cannot open the saved data set"):
        open_source(_saved(tmp_path / "pets", _data(hf).select([])))
    monkeypatch.setattr(hf, "load_dataset", lambda *name: hf.DatasetDict(train=_data(hf).select([])))
    _refused("hf:user/pets", "no images in the split train of hf:user/pets")


def test_a_split_of_another_name_that_is_alone(hf: Any, tmp_path: Path) -> None:
    assert len(open_source(_saved(tmp_path / "pets", hf.DatasetDict(full=_data(hf)))).all) == 6


def test_a_damaged_folder_is_named(hf: Any, tmp_path: Path) -> None:
    spec = _saved(tmp_path / "pets", _data(hf))
    arrow = next((tmp_path / "pets").glob("*.arrow"))
    whole = arrow.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        arrow.write_bytes(content)
        _refused(spec, f"cannot open the saved data set {spec}", DamagedFile)
    arrow.unlink()
    _refused(spec, f"cannot open the saved data set {spec}", DamagedFile)
    arrow.write_bytes(whole)
    (tmp_path / "pets" / "state.json").write_text("{}")
    _refused(spec, f"cannot open the saved data set {spec}", DamagedFile)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "dataset_dict.json").write_text(json.dumps({"splits": ["../gone"]}))
    _refused(str(tmp_path / "more"), "cannot open the saved data set", DamagedFile)


@pytest.mark.parametrize("name", ["", "/", "a//b", "../up", "/etc", "a/b/c/d", "user/.hidden", "a b", "csv:x", "https://x/y"])
def test_what_is_no_name_on_the_hub(name: str, hf: Any) -> None:
    assert "hf:USER/NAME" in _refused(f"hf:{name}", "not a name on the Hugging Face Hub").hint


def test_a_folder_of_the_same_name_is_not_taken_for_the_hub(hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _saved(tmp_path / "user" / "pets", _data(hf))
    assert "--data user/pets" in _refused("hf:user/pets", "a folder here has the same name").hint


def test_without_a_network_the_error_says_what_to_do(hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: the libraries look at the environment once."""
    program = (
        "from edgevit.data import open_source\nfrom edgevit.errors import BadInput\n"
        "try: open_source('hf:nobody/nothing-at-all/plain')\n"
        "except BadInput as error: print(error.message); print(error.hint)\n"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    message, hint = ran.stdout.splitlines()
    assert "cannot load nobody/nothing-at-all/plain from the Hugging Face Hub: " in message
    assert "HF_HUB_OFFLINE" in hint and "HF_HOME" in hint


def test_the_hub_is_asked_for_name_and_configuration_and_runs_nothing(hf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load(*arguments: Any, **more: Any) -> Any:
        assert not more
        asked.append(arguments)
        return hf.DatasetDict(train=_data(hf), test=_data(hf, 2))

    monkeypatch.setattr(hf, "load_dataset", load)
    for name in ("beans", "user/beans", "user/beans/small"):
        assert len(open_source(f"hf:{name}").held_out) == 2
    assert asked == [("beans", None), ("user/beans", None), ("user/beans", "small")]


def test_the_library_has_no_way_left_to_run_a_program(hf: Any) -> None:
    assert int(hf.__version__.partition(".")[0]) >= 4


@pytest.mark.parametrize("made", ["hf:user/pets", "state.json", "dataset_dict.json"])
def test_without_the_library_its_line_is_said(made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    if not made.startswith("hf:"):
        (tmp_path / made).write_text("{}")
    with pytest.raises(NotInstalled, match="not installed: datasets") as caught:
        open_source(made if made.startswith("hf:") else str(tmp_path))
    assert caught.value.hint == "pip install 'edgevit[datasets]'"


def test_a_name_on_the_hub_is_the_same_from_everywhere() -> None:
    assert lasting("hf:user/pets") == "hf:user/pets"


@pytest.mark.parametrize("name", ["imagefolder", "csv", "json", "pandas", "webdataset"])
def test_a_reader_of_local_files_is_no_data_set_of_the_hub(name: str, hf: Any) -> None:
    _refused(f"hf:{name}", "means files of this machine")


def test_an_older_library_is_not_used(hf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf, "__version__", "3.6.0")
    with pytest.raises(NotInstalled, match=r"datasets 3\.6\.0 runs programs"):
        open_source("hf:somebody/pets")


def test_a_data_set_of_the_hub_names_no_file_of_this_machine(hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers wrote its paths; what it brought itself lies in the cache."""
    monkeypatch.setattr(hf.config, "HF_CACHE_HOME", tmp_path / "cache")
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", tmp_path / "cache" / "datasets")
    monkeypatch.setattr(hf.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "cache" / "downloads")
    places = [tmp_path / "cache" / "downloads" / "a.png", tmp_path / "private.png"]
    for i, place in enumerate(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        _image(i).save(place)
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=PETS)})
    columns = {"image": [{"path": str(place), "bytes": None} for place in places], "label": [0, 1]}
    data = hf.Dataset.from_dict(columns, features=features)
    monkeypatch.setattr(hf, "load_dataset", lambda *_: hf.DatasetDict(train=data))
    found = open_source("hf:somebody/pets").all
    assert np.array_equal(np.asarray(found.open(0)), np.asarray(_image(0)))
    with pytest.raises(DamagedFile, match="outside of the cache"):
        found.open(1)
