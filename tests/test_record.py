"""Nouns to JSON and back: the same again, or an error that names the file and the place in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgevit import record
from edgevit.errors import DamagedFile
from edgevit.types import (
    Artifact,
    Checkpoint,
    Delegation,
    Latency,
    Outcome,
    Preprocess,
    Rewritten,
    Tolerance,
    TrainConfig,
    ViTConfig,
)

CHECKPOINT = Checkpoint(
    config=ViTConfig("Pico/8", (16, 16), 8, 64, 4, 2, 128, 2),
    preprocess=Preprocess((18, 18), (16, 16), mean=(0.1, 0.2, 0.3)),
    labels=("Katze", "犬"),
    train=TrainConfig("a/b", epochs=3, lr=1e-3),
    metrics={"val_top1": 0.5, "epoch": 1.0},
    weights_sha256="ab" * 32,
    versions={"torch": "2.13.0"},
    folder=Path("somewhere"),
)
ARTIFACT = Artifact(
    "coreml", "int8", Outcome.WRONG_ANSWERS, "why", "model.mlpackage", 5, "cd" * 32, Delegation(1, 2, 3), 0.5, 6,
    rewrites=(Rewritten("other words", "words", "they mean the same", True, 2, 1e-16, 2e-7),),
    tolerance=Tolerance(0.1, 0.2, 0.3), config=CHECKPOINT.config, preprocess=CHECKPOINT.preprocess,
    files={"model.mlpackage/a": "ef" * 32}, folder=Path("somewhere"),
)  # fmt: skip


@dataclass(frozen=True)
class Odd:
    """A record with what no record may have."""

    what: object


@pytest.mark.parametrize("noun", [CHECKPOINT, ARTIFACT], ids=["checkpoint", "artifact"])
def test_written_and_read_is_the_same_and_learns_its_folder(noun: Checkpoint | Artifact, tmp_path: Path) -> None:
    record.write(tmp_path / "noun.json", noun)
    assert record.read(tmp_path / "noun.json", type(noun)) == replace(noun, folder=tmp_path)  # type: ignore[type-var]
    assert "folder" not in json.loads((tmp_path / "noun.json").read_text()), "a folder may be moved"
    assert "somewhere" not in (tmp_path / "noun.json").read_text()


@given(some.builds(Latency))
def test_any_noun_of_numbers_and_text_comes_back(latency: Latency) -> None:
    """JSON knows neither infinity nor NaN: they come back as what was not measured."""
    figures = {name: value for name, value in vars(latency).items() if isinstance(value, float) and abs(value) in (float("inf"),)}
    figures |= {name: value for name, value in vars(latency).items() if value != value}
    assert record.decode(record.encode(latency), Latency) == replace(latency, **dict.fromkeys(figures))


def _damaged(path: Path, content: str | bytes, kind: type = Checkpoint) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DamagedFile) as caught:
        record.read(path, kind)
    assert str(path) in caught.value.message and "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("labels",), None, "missing required field `labels`"),
        (("config", "depth"), None, "$.config"),
        (("config", "depth"), "four", "$.config.depth"),
        (("config", "depth"), -4, "positive"),
        (("config", "image_size"), [17, 17], "does not divide"),
        (("config", "norm_epsilon"), 1e-3, "unknown field $.config.norm_epsilon"),
        (("preprocess", "means"), [0, 0, 0], "unknown field $.preprocess.means"),
        (("preprocess", "mean"), [0, 0], "$.preprocess.mean"),
        (("preprocess", "std"), [1, 0, 1], "std must be positive"),
        (("preprocess", "crop"), [8, 8], "crop and image size must be equal"),
        (("labels",), ["one"], "as many labels as classes"),
        (("labels",), [1, 2], "$.labels"),
        (("metrics", "val_top1"), "much", "$.metrics"),
        (("train", "epochs"), 1.5, "$.train.epochs"),
        (("signature",), "me", "unknown field $.signature"),
    ],
)
def test_a_field_that_is_not_right_is_named(tmp_path: Path, place: tuple[str, ...], value: object, words: str) -> None:
    """None takes the field away."""
    whole = record.builtins(CHECKPOINT)
    inner = whole
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    if value is None:
        del inner[place[-1]]
    assert words in _damaged(tmp_path / "checkpoint.json", json.dumps(whole))


@dataclass(frozen=True)
class Several:
    """A record of records."""

    pairs: tuple[tuple[Delegation, ...], ...]


def test_an_unknown_field_in_a_tuple_of_records_is_named(tmp_path: Path) -> None:
    whole = record.builtins(Several(((Delegation(1), Delegation(2)),)))
    (tmp_path / "several.json").write_text(json.dumps(whole))
    assert record.read(tmp_path / "several.json", Several) == Several(((Delegation(1), Delegation(2)),))
    whole = json.loads(json.dumps(whole))
    whole["pairs"][0][1]["insides"] = 3
    assert "unknown field $.pairs[0][1].insides" in _damaged(tmp_path / "several.json", json.dumps(whole), Several)


def test_an_unknown_outcome_is_refused(tmp_path: Path) -> None:
    whole = record.builtins(ARTIFACT) | {"outcome": "MAYBE"}
    assert "MAYBE" in _damaged(tmp_path / "artifact.json", json.dumps(whole), Artifact)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", "\0" * 10, "[" * 200_000, b"\xff\xfe{}", b"\x80\x04N."])
def test_what_is_no_record_is_refused(tmp_path: Path, content: str | bytes) -> None:
    _damaged(tmp_path / "checkpoint.json", content)


def test_a_cut_record_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = record.encode(CHECKPOINT).rstrip()
    for length in range(0, len(whole), 97):
        _damaged(tmp_path / "checkpoint.json", whole[:length])


def test_a_giant_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "checkpoint.json").open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(DamagedFile, match="larger than 64 MiB"):
        record.read(tmp_path / "checkpoint.json", Checkpoint)


@pytest.mark.parametrize("name", ["gone.json", "folder"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DamagedFile, match=f"cannot read .*{name}: (no such file|is a directory)"):
        record.read(tmp_path / name, Checkpoint)


def test_a_foreign_file_may_hold_more(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text('{"subgraphs": 1, "whatever": 2}')
    assert record.read_foreign(tmp_path / "file.json", Delegation) == Delegation(1)
    with pytest.raises(DamagedFile, match=r"unknown field \$\.whatever"):
        record.read(tmp_path / "file.json", Delegation)


@pytest.mark.parametrize("value", [object(), 1j, lambda: None])
def test_what_no_record_holds_is_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises((NotImplementedError, TypeError, msgspec.MsgspecError)):
        record.write(tmp_path / "odd.json", Odd(value))
    assert not (tmp_path / "odd.json").exists()


def test_an_unknown_field_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """It is passed over while the known ones are read, and met when the unknown are looked for."""
    (tmp_path / "record.json").write_bytes(b'{"resize": [8, 8], "crop": [8, 8], "m\xe8an": 1}')
    with pytest.raises(DamagedFile, match="utf-8"):
        record.read(tmp_path / "record.json", Preprocess)
