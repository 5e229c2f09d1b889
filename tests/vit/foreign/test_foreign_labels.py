"""The names of the classes from a user's file, and the options as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.errors import BadInput
from edgevit.vit.foreign import asked
from edgevit.vit.foreign.asked import Resize
from edgevit.vit.foreign.labels import read_labels


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "index,wnid,name\n1,n02,dog\n0,n01,\"cat, tabby\"\n"),
        ("c.csv", "\ufeffname,index\n\"cat, tabby\",0\ndog,1\n"),
        ("c.txt", "cat, tabby\ndog\n\n"),
        ("c.json", '["cat, tabby", "dog"]'),
        ("c.json", '{"1": "dog", "0": "cat, tabby"}'),
    ],
)  # fmt: skip
def test_labels(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / name) == ("cat, tabby", "dog")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("c.csv", b"class,name\n0,cat\n", "no columns index and name"),
        ("c.csv", b"", "no columns index and name"),
        ("c.csv", b"index,name\n0,cat\n0,dog\n", "not a number of its own: 0"),
        ("c.csv", b"index,name\n0,cat\n2,dog\n", "no class 1, among 2"),
        ("c.csv", b"index,name\n0\n", "class 0 has no name"),
        ("c.csv", b"index,name\nx,cat\n", "not a number of its own: x"),
        ("c.csv", b"index,name\n99999999999,cat\n", "not a number of its own: 99999999999"),
        ("c.csv", b'index,name\n0,"cat\n', "unexpected end of data"),
        ("c.txt", b"cat\n\ndog\n", "class 1 has no name"),
        ("c.txt", b"\xff\xfe\x00", "no UTF-8 text"),
        ("c.json", b"[1, 2]", "class 0 has no name"),
        ("c.json", b'["\\ud800"]', "the name of class 0 is no text"),
        ("c.json", b'"cat"', "no list and no names by index"),
        ("c.json", b"[", "no JSON"),
        ("c.json", b"[" * 100_000, "no JSON"),
        ("c.json", b'{"a": "cat"}', "not a number of its own: a"),
    ],
)
def test_labels_that_are_refused(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=words):
        read_labels(tmp_path / name)


def test_absent_labels(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file of labels"):
        read_labels(tmp_path / "absent.csv")


def test_options() -> None:
    assert asked.channels("--mean", "0.485,0.456,0.406") == (0.485, 0.456, 0.406)
    assert asked.channels("--mean", "0.5") == (0.5, 0.5, 0.5)
    assert asked.size("--image-size", "192x256") == (192, 256) and asked.size("--image-size", "224") == (224, 224)
    assert asked.resize("256") == Resize((256, 256), "keep") and asked.resize("256x256") == Resize((256, 256), "squash")
    assert (asked.channels("--std", None), asked.resize(None), asked.interpolation(None), asked.positions(None)) == (None,) * 4


@pytest.mark.parametrize("text", ["", "a", "0.5,0.5", "1,2,3,4", "nan", "inf,0,0", "0.5;0.5;0.5"])
def test_channels_that_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--std takes one number or three"):
        asked.channels("--std", text)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1x2x3", "224px", "99999", "²", "2 24"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--resize takes pixels"):
        asked.resize(text)


def test_words_that_are_refused() -> None:
    with pytest.raises(BadInput, match="unknown interpolation: cubic"):
        asked.interpolation("cubic")
    with pytest.raises(BadInput, match="unknown positions"):
        asked.positions("1d")
