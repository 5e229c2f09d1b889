"""Tables of paths and classes: which column means what, and the line in every error."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevit.data import classes, open_source, rows
from edgevit.data.dataset import Dataset
from edgevit.errors import BadInput, DamagedFile

IMAGENET = Path(__file__).parents[3] / "shared" / "data" / "imagenet-sample-256"
Cell = str | int


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with eight images, each of its own width, in two folders."""
    for i in range(8):
        file = tmp_path / "images" / ("a" if i % 2 else "b") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (i + 1, 3)).save(file)
    return tmp_path


FILES = [f"images/{'a' if i % 2 else 'b'}/{i}.png" for i in range(8)]


def _separated(delimiter: str) -> Callable[[list[dict[str, Cell]]], str]:
    def written(table: list[dict[str, Cell]]) -> str:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, table[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
        return buffer.getvalue()

    return written


FORMS: dict[str, Callable[[list[dict[str, Cell]]], str]] = {
    "labels.csv": _separated(","),
    "labels.tsv": _separated("\t"),
    "labels.jsonl": lambda table: "\n".join(map(json.dumps, table)),
    "LABELS.NDJSON": lambda table: "".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in table),
}


def _write(root: Path, table: list[dict[str, Cell]] | str, name: str = "labels.csv") -> str:
    (root / name).write_text(table if isinstance(table, str) else FORMS[name](table), encoding="utf-8")
    return str(root / name)


def _rows(**columns: list[Cell]) -> list[dict[str, Cell]]:
    named: dict[str, list[Cell]] = {"file": list(FILES), **columns}
    return [dict(zip(named, cells, strict=True)) for cells in zip(*named.values(), strict=True)]


def _refused(spec: str, words: str, kind: type[BadInput] = BadInput) -> BadInput:
    with pytest.raises(kind, match=words) as caught:
        open_source(spec)
    assert spec in caught.value.message and "\n" not in caught.value.message
    return caught.value


PETS: list[Cell] = ["dog", "cat"] * 4


@pytest.mark.parametrize("name", FORMS)
def test_paths_and_names(name: str, root: Path) -> None:
    found = open_source(_write(root, _rows(label=PETS), name))
    assert found.labels == ("cat", "dog") and found.named and found.photos and found.native_size == 224
    assert found.all.names == FILES and found.all.classes.tolist() == [1, 0] * 4
    assert [found.all.open(i).width for i in range(8)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not found.has_held_out and (len(found.train), len(found.held_out)) == (6, 2)


@pytest.mark.parametrize("path", ["file", "path", "image", "filename", "file_name", " File ", "IMAGE"])
@pytest.mark.parametrize("label", ["label", "class", "class_name", "category", "Label"])
def test_what_the_columns_may_be_called(path: str, label: str, root: Path) -> None:
    table = [{path: row["file"], "width": 3, label: row["label"]} for row in _rows(label=PETS)]
    assert open_source(_write(root, table)).labels == ("cat", "dog")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("column", ["index", "label_index", "class_index", "label", "class"])
def test_numbers_alone(column: str, name: str, root: Path) -> None:
    found = open_source(_write(root, _rows(**{column: [2, 0, 1, 3, 2, 0, 1, 3]}), name))
    assert found.labels == ("0", "1", "2", "3") and not found.named
    assert found.all.classes.tolist() == [2, 0, 1, 3, 2, 0, 1, 3]


def test_names_that_are_numbers_stay_names_where_the_column_says_so(root: Path) -> None:
    found = open_source(_write(root, _rows(class_name=[1984, 10] * 4)))
    assert found.labels == ("10", "1984") and found.named


def test_one_name_that_is_no_number_makes_them_all_names(root: Path) -> None:
    assert open_source(_write(root, _rows(label=[0, 1, "x", 1, 0, 1, 0, 1]))).labels == ("0", "1", "x")


@pytest.mark.parametrize(
    ("number", "name"), [("index", "label"), ("class_index", "category"), ("label", "class_name"), ("label", "class")]
)
def test_numbers_decide_and_names_name_them(number: str, name: str, root: Path) -> None:
    found = open_source(_write(root, _rows(**{name: ["zebra", "ant"] * 4, number: [0, 1] * 4})))
    assert found.labels == ("zebra", "ant") and found.named and found.all.classes.tolist() == [0, 1] * 4


def test_numbers_named_by_the_file_beside(root: Path) -> None:
    """It may know more classes than there are images of, and two of the same name."""
    _write(root, 'index,wnid,name\n2,n2,crane\n0,n0,"tench, Tinca tinca"\n1,n1,crane\n', "classes.csv")
    found = open_source(_write(root, _rows(index=[2, 0] * 4, wnid=["n2", "n0"] * 4)))
    assert found.labels == ("tench, Tinca tinca", "crane", "crane") and found.named
    assert found.all.classes.tolist() == [2, 0] * 4


def test_names_of_the_table_go_before_the_file_beside(root: Path) -> None:
    _write(root, "index,name\n0,x\n1,y\n", "classes.csv")
    assert open_source(_write(root, _rows(index=[0, 1] * 4, label=PETS))).labels == ("dog", "cat")
    assert open_source(_write(root, _rows(label=PETS))).labels == ("cat", "dog")


def test_one_image_a_class_opens_to_be_tested_on(root: Path) -> None:
    found = open_source(_write(root, _rows(index=list(range(8)))))
    assert len(found.split("all")) == 8
    with pytest.raises(BadInput, match="only one image in class 0"):
        found.split("train")


# Splits.


def _split(root: Path, *names: str) -> Dataset:
    return open_source(_write(root, _rows(label=PETS, split=list(names))))


def test_all_three_splits(root: Path) -> None:
    found = _split(root, "train", "Train", "val", "validation", "train", "train", "test", " valid ")
    assert [len(found.split(part)) for part in ("train", "held-out", "test", "all")] == [4, 3, 1, 8]
    assert found.held_out.names == [FILES[i] for i in (2, 3, 7)] and found.held_out.open(2).width == 8
    assert found.test.names == [FILES[6]] and found.has_held_out


def test_without_val_test_is_held_out(root: Path) -> None:
    found = _split(root, *["train"] * 6, *["test"] * 2)
    assert (len(found.train), len(found.held_out)) == (6, 2)


def test_a_table_of_test_images_only(root: Path) -> None:
    found = _split(root, *["test"] * 8)
    assert len(found.held_out) == 8 and len(found.all) == 8
    with pytest.raises(BadInput, match="no train images in"):
        found.split("train")


def test_a_table_of_training_images_only_is_divided(root: Path) -> None:
    found = _split(root, *["train"] * 8)
    assert not found.has_held_out and (len(found.train), len(found.held_out)) == (6, 2)


def test_an_unknown_split_is_named_with_its_line(root: Path) -> None:
    with pytest.raises(BadInput, match=r"unknown split in line 4 of .*: holdout") as caught:
        _split(root, "train", "val", "holdout", *["train"] * 5)
    assert "train, val" in caught.value.hint


# What is refused, with its line.


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([0, 1, -1], "negative class number in line 4 of .*: -1"),
        ([0, 1, "x"], "not a class number in line 4 of .*: index 'x'"),
        ([0, 1, "1.0"], "not a class number in line 4 of .*: index '1.0'"),
        ([0, 1, "1e3"], "not a class number in line 4"),
        ([0, 1, "٣"], "not a class number in line 4"),
        ([0, 1, "9" * 5000], "not a class number in line 4"),
        ([0, 1, ""], "no index in line 4"),
        ([0, 1, 3], "no class 2 in .*, but class 3 in line 4"),
        ([1, 2, 3], "no class 0 in .*, but class 1 in line 2"),
        ([0, 1, 999999999], "no class 2 in .*, but class 999999999 in line 4"),
    ],
)
def test_numbers_that_are_none_or_leave_one_out(numbers: list[Cell], words: str, root: Path) -> None:
    table = _rows(index=[0] * 8)[:3]
    for row, number in zip(table, numbers, strict=True):
        row["index"] = number
    _refused(_write(root, table), words)


@pytest.mark.parametrize("value", [1.0, True, None, [1], {"a": 1}, float("nan"), float("inf"), ""])
@pytest.mark.parametrize("column", ["file", "label"])
def test_a_value_of_json_that_is_neither_text_nor_a_whole_number(value: object, column: str, root: Path) -> None:
    table = _rows(label=PETS)
    table[2][column] = value  # type: ignore[assignment]
    _refused(_write(root, table, "labels.jsonl"), f"no {column} in line 3")


@pytest.mark.parametrize("column", ["file", "label"])
def test_an_empty_cell(column: str, root: Path) -> None:
    table = _rows(label=PETS)
    table[5][column] = "  "
    _refused(_write(root, table), f"no {column} in line 7")


def test_a_number_with_two_names_and_a_name_with_two_numbers(root: Path) -> None:
    _refused(_write(root, _rows(index=[0, 1] * 4, label=["a", "b", "a", "c"] * 2)), "class 1 is b and c in .*: line 5")
    _refused(_write(root, _rows(index=list(range(8)), label=PETS)), "class dog is 0 and 2 in .*: line 4")


def test_names_of_the_table_with_a_gap(root: Path) -> None:
    _refused(_write(root, _rows(index=[0, 2] * 4, label=PETS)), "no class 1 in .*, but class 2 in line 9")


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ("index,name\n0,a\n1,b\n", "class 2 in line 3 of .*labels.csv is not in .*classes.csv"),
        ("index,name\n0,a\n2,c\n", "no class 1 in .*classes.csv, but class 2 in line 3"),
        ("index,name\n0,a\n1,b\n1,c\n", "class 1 is twice in .*classes.csv: line 4"),
        ("index,name\n0,a\n1,\n2,c\n", "no name in line 3 of .*classes.csv"),
        ("index,name\n0,a\nx,b\n", "not a class number in line 3 of .*classes.csv"),
        ("index,wnid\n0,a\n1,b\n", "no column of names in .*classes.csv"),
        ("wnid,name\n0,a\n1,b\n", "no column of class numbers in .*classes.csv"),
        ("index,name,label\n0,a,b\n", "more than one column of names in .*classes.csv: name, label"),
        ("", "no rows in .*classes.csv"),
    ],
)
def test_a_file_beside_that_does_not_name_them(beside: str, words: str, root: Path) -> None:
    _write(root, beside, "classes.csv")
    with pytest.raises(BadInput, match=words):
        open_source(_write(root, _rows(index=[0, 2] * 4)))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("where,label", "no column of paths in .*: where, label"),
        ("file,what", "no column of classes in .*: file, what"),
        ("file,path,label", "more than one column of paths in .*: file, path"),
        ("file,label,category", "more than one column of class names in .*: label, category"),
        ("file,index,label_index", "more than one column of class numbers in .*: index, label_index"),
        ("file,label,Label", "column label is twice"),
    ],
)
def test_columns_that_cannot_be_told(head: str, words: str, root: Path) -> None:
    cells = ",".join(["x.png", "one", "two"][: head.count(",") + 1])
    _refused(_write(root, f"{head}\n{cells}\n"), words)


def test_the_same_image_twice(root: Path) -> None:
    table = _rows(label=PETS)
    table[6]["file"] = "images/../images//b/0.png"
    assert "counts once" in _refused(_write(root, table), f"lines 2 and 8 of .* are the same image: {root}/images/b/0.png").hint


@pytest.mark.parametrize("path", ["../x.png", "images/../../x.png", "./../x.png", "a/b/../../../x.png", ".."])
def test_a_path_that_leaves_the_folder(path: str, root: Path) -> None:
    table = _rows(label=PETS)
    table[1]["file"] = path
    assert "absolute" in _refused(_write(root, table), "a path out of the table's folder in line 3").hint


def test_an_absolute_path_may_lead_elsewhere(root: Path) -> None:
    (root / "tables").mkdir()
    table = [{**row, "file": str(root / str(row["file"]))} for row in _rows(label=PETS)]
    found = open_source(_write(root / "tables", table))
    assert [found.all.open(i).width for i in range(8)] == list(range(1, 9))


@pytest.mark.parametrize("path", ["gone.png", "images", "a\0b.png", "x" * 5000, "pipe.png"])
def test_what_is_no_file_is_named_when_it_is_opened(path: str, root: Path) -> None:
    """A pipe would be waited for, for ever."""
    os.mkfifo(root / "pipe.png")
    table = _rows(label=PETS)
    table[4]["file"] = path
    found = open_source(_write(root, table, "labels.jsonl"))
    assert found.all.open(3).width == 4
    with pytest.raises(DamagedFile, match=r"no such image: .*: line 5 of .*labels.jsonl"):
        found.all.open(4)


def test_an_image_that_cannot_be_decoded_is_named_when_it_is_opened(root: Path) -> None:
    (root / FILES[1]).write_text("text")
    found = open_source(_write(root, _rows(label=PETS)))
    with pytest.raises(DamagedFile, match=f"not a JPEG, PNG or WebP image: {root / FILES[1]}"):
        found.all.open(1)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.csv", "", "no rows in"),
        ("labels.csv", "\n\n", "no rows in"),
        ("labels.csv", "file,label\n", "no rows in"),
        ("labels.csv", "file,label\na.png,x\nb.png\n", "1 cells under 2 columns in line 3"),
        ("labels.csv", "file,label\na.png,x,y\n", "3 cells under 2 columns in line 2"),
        ("labels.csv", 'file,label\na.png,"x\n', "cannot read line 2 of"),
        ("labels.csv", 'file,label\na.png,"x"y\n', "cannot read line 2 of"),
        ("labels.csv", "file,label\n" + "a" * 200_000 + ",x\n", "cannot read line 2 of"),
        ("labels.tsv", "file,label\na.png,x\n", "no column of paths in .*: file,label"),
        ("labels.jsonl", "", "no rows in"),
        ("labels.jsonl", '{"file": "a.png"\n', "not JSON in line 1"),
        ("labels.jsonl", '{"file": "a.png", "label": "x"}\nfile,label\n', "not JSON in line 2"),
        ("labels.jsonl", '["a.png", "x"]\n', "not an object of JSON in line 1"),
        ("labels.jsonl", "[" * 100_000, "not JSON in line 1"),
        ("labels.jsonl", '{"file": "a.png", "label": ' + "9" * 5000 + "}", "not JSON in line 1"),
        ("labels.jsonl", '{"file": "a.png", "label": 0, "Label": 1}', "column label is twice"),
    ],
)
def test_what_is_no_table(name: str, text: str, words: str, root: Path) -> None:
    _refused(_write(root, text, name), words)


@pytest.mark.parametrize("content", [b"\xff\xfefile,label\n", b"file,label\na.png,\xe9\n", b"PK\x03\x04\x80\x81"])
def test_another_encoding(content: bytes, root: Path) -> None:
    (root / "labels.csv").write_bytes(content)
    _refused(str(root / "labels.csv"), "not text in UTF-8", DamagedFile)


def test_what_spreadsheets_write_first_is_no_part_of_the_name(root: Path) -> None:
    (root / "labels.csv").write_bytes(b"\xef\xbb\xbf" + FORMS["labels.csv"](_rows(label=PETS)).encode())
    assert open_source(str(root / "labels.csv")).labels == ("cat", "dog")


def test_an_enormous_table_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LARGEST", 100)
    _refused(_write(root, _rows(label=PETS)), "larger than a table of images is", DamagedFile)


def test_one_class(root: Path) -> None:
    _refused(_write(root, _rows(label=["cat"] * 8)), "only one class in .*: cat")


def test_names_by_number_can_be_read_alone(tmp_path: Path) -> None:
    assert classes.read(Path(_write(tmp_path, "name,index\nb,1\na,0\n", "classes.csv"))) == ("a", "b")


@pytest.mark.skipif(not IMAGENET.is_dir(), reason="../shared/data/imagenet-sample-256 is not here")
def test_a_thousand_images_of_imagenet() -> None:
    found = open_source(str(IMAGENET / "labels.csv"))
    assert len(found.all) == len(found.labels) == 1000 and found.named and not found.has_held_out
    assert found.labels[0] == "tench, Tinca tinca" and found.all.classes.tolist() == list(range(1000))
    assert found.labels == classes.read(IMAGENET / "classes.csv") and found.all.names[1] == "images/n01443537.jpg"
    assert np.asarray(found.all.open(999)).shape == (256, 256, 3)
    with pytest.raises(BadInput, match="only one image in class tench, Tinca tinca"):
        found.split("held-out")


def test_a_split_that_only_some_rows_say(root: Path) -> None:
    """Rows of JSON may each have cells of their own; those without a split would land among the images to train on."""
    lines = [{"file": f"{i}.png", "label": "ab"[i % 2], **({"split": "test"} if i else {})} for i in range(6)]
    table = root / "some.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(BadInput, match="no split in line 1 of"):
        open_source(str(table))
