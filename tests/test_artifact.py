"""An artifact is what its record says, file by file, or it is refused with the name of the file that is not."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import quantize
from edgevit import artifact as artifacts
from edgevit import folder
from edgevit.artifact import GOLDEN, RECORD, Golden
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Artifact, Outcome, Preprocess, ViTConfig
from edgevit.vit.config import config

MODEL = "model.mlpackage"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder of an artifact whose model is a folder itself."""
    where = tmp_path / "coreml-fp32"
    (where / MODEL / "Data").mkdir(parents=True)
    (where / MODEL / "Manifest.json").write_text("{}")
    (where / MODEL / "Data" / "weight.bin").write_bytes(bytes(range(256)))
    artifacts.write_golden(where, Golden(np.ones((2, 3, 8, 8), np.float32), np.arange(2), np.eye(2, dtype=np.float32)))
    made = Artifact(
        "coreml", "fp32", Outcome.PASS, file=MODEL, labels=("a", "b"), preprocess=Preprocess((8, 8), (8, 8)),
        config=ViTConfig("Pico/8", (8, 8), 8, 64, 4, 2, 128, 2), files=folder.hashes(where), quantization=quantize.get("fp32"),
    )  # fmt: skip
    artifacts.write(where, made)
    return where


def _refused(here: Path, *words: str) -> None:
    with pytest.raises(DamagedFile) as caught:
        artifacts.verify(artifacts.read(here))
    for word in words:
        assert word in caught.value.message
    assert caught.value.exit_code == 2


def _forge(here: Path, **changes: Any) -> None:
    artifacts.write(here, dataclasses.replace(artifacts.read(here), **changes))


def test_a_record_with_two_recipes_is_refused(here: Path) -> None:
    _forge(here, recipe="int8")
    _refused(here, "int8 is not the recipe that it holds")
    _forge(here, recipe="fp32", quantization=None)
    _refused(here, "fp32 is not the recipe that it holds")


def test_integers_without_what_the_recipe_made_are_refused(here: Path) -> None:
    _forge(here, recipe="int8", quantization=quantize.get("int8"))
    _refused(here, "missing from the artifact", "quantized.safetensors")


def test_a_whole_one_is_read_and_verified(here: Path) -> None:
    found = artifacts.verify(artifacts.read(here))
    assert found.folder == here and artifacts.model_file(found) == here / MODEL
    assert sorted(found.files) == [GOLDEN, f"{MODEL}/Data/weight.bin", f"{MODEL}/Manifest.json"]


def test_it_may_be_moved(here: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "other name"
    shutil.copytree(here, moved)
    shutil.rmtree(here)
    assert artifacts.verify(artifacts.read(moved)).folder == moved


@pytest.mark.parametrize("name", [GOLDEN, f"{MODEL}/Data/weight.bin", f"{MODEL}/Manifest.json"])
@pytest.mark.parametrize("how", ["one bit", "one byte more", "one byte less", "gone"])
def test_a_file_that_was_changed_is_named(here: Path, name: str, how: str) -> None:
    file = here / name
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
        return _refused(here, "missing", str(file))
    bit = content[:-1] + bytes([content[-1] ^ 1])
    file.write_bytes({"one bit": bit, "one byte more": content + b"\0", "one byte less": content[:-1]}[how])
    return _refused(here, "changed since the export", str(file))


@pytest.mark.parametrize("name", ["notes.txt", f"{MODEL}/Data/more.bin", ".hidden", f"{MODEL}/{RECORD}"])
def test_a_file_too_many_is_named(here: Path, name: str) -> None:
    (here / name).write_text("text")
    _refused(here, "not part of the artifact", str(here / name))


def test_a_link_to_the_very_same_content_is_refused(here: Path, tmp_path: Path) -> None:
    weights = here / MODEL / "Data" / "weight.bin"
    weights.rename(tmp_path / "weight.bin")
    weights.symlink_to(tmp_path / "weight.bin")
    _refused(here, "symbolic link", str(weights))


def test_a_model_that_is_a_link_is_refused(here: Path, tmp_path: Path) -> None:
    (here / MODEL).rename(tmp_path / MODEL)
    (here / MODEL).symlink_to(tmp_path / MODEL)
    _refused(here, "symbolic link")


@pytest.mark.parametrize("file", ["../../secret", "/etc/passwd", "", ".", "..", "other", f"{MODEL}/Data", None])
def test_a_model_file_that_is_none_of_its_files(here: Path, file: str | None) -> None:
    """Not even a runtime that never looks at the hashes is led out of the folder."""
    _forge(here, file=file)
    _refused(here, RECORD)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("a",)},
        {"labels": ("a", "b", "c")},
        {"labels": ()},
        {"config": None},
        {"preprocess": None},
        {"preprocess": Preprocess((4, 4), (4, 4))},
    ],
    ids=["too few labels", "too many labels", "no labels", "no config", "no preprocess", "another size"],
)
def test_a_record_that_contradicts_itself(here: Path, changes: dict[str, Any]) -> None:
    """No file is changed, but its answers would have the wrong names, or none."""
    _forge(here, **changes)
    _refused(here, RECORD)


def test_what_is_none_says_what_is_expected(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(BadInput, match="no artifact in") as caught:
            artifacts.read(path)
        assert RECORD in caught.value.hint


def test_a_damaged_record_is_refused(here: Path) -> None:
    """`test_record` has all the ways; here, that they reach the reader of artifacts."""
    whole = (here / RECORD).read_text()
    for content in ("", whole[: len(whole) // 2], whole.replace('"PASS"', '"FINE"'), whole.replace('"recipe"', '"Recipe"')):
        (here / RECORD).write_text(content)
        _refused(here, RECORD)


def test_a_failed_export_has_no_model() -> None:
    failed = Artifact("tflite", "int8", Outcome.CONVERT_FAILED, "SIGABRT", folder=Path("out/tflite-int8"))
    with pytest.raises(BadInput, match="out/tflite-int8 holds no model: CONVERT_FAILED") as caught:
        artifacts.model_file(failed)
    assert caught.value.hint == "SIGABRT"


def test_the_golden_batch_comes_back(tmp_path: Path) -> None:
    shape = config("Pico/4", (4, 4), 2)
    batch = Golden(np.ones((2, 3, 4, 4), np.float32), np.arange(2), np.eye(2, dtype=np.float32), -np.eye(2, dtype=np.float32))
    for golden in (batch, dataclasses.replace(batch, artifact_logits=None)):
        artifacts.write_golden(tmp_path, golden)
        again = artifacts.read_golden(tmp_path, shape)
        for name, value in vars(golden).items():
            assert np.array_equal(getattr(again, name), value) if value is not None else getattr(again, name) is None


class _Payload:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def _with(**changes: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def change(file: Path) -> None:
        tensors = safetensors.numpy.load_file(file)
        tensors.pop("artifact_logits", None)
        safetensors.numpy.save_file({n: np.ascontiguousarray(changes.get(n, lambda v: v)(v)) for n, v in tensors.items()}, file)

    return change


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda file: file.unlink(),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "empty": lambda file: file.write_bytes(b""),
    "another kind": lambda file: file.write_text("text"),
    "a pickle": lambda file: file.write_bytes(pickle.dumps(_Payload(file.with_name("trace")))),
    "less in it": lambda file: safetensors.numpy.save_file({"images": np.ones(1)}, file),
    "more in it": lambda file: safetensors.numpy.save_file({**safetensors.numpy.load_file(file), "more": np.ones(1)}, file),
    "another size": _with(images=lambda images: images[:, :, 1:]),
    "another number": _with(classes=lambda classes: classes[1:]),
    "no images": _with(**dict.fromkeys(("images", "classes", "logits"), lambda values: values[:0])),
    "another type": _with(logits=lambda logits: logits.astype(np.float64)),
    "a class beyond the last": _with(classes=lambda classes: classes + 1000),
    "a negative class": _with(classes=lambda classes: classes - 1000),
    "no number": _with(logits=lambda logits: logits * np.float32("nan")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_golden_batch_is_refused(here: Path, damage: str) -> None:
    shape = artifacts.read(here).config
    assert shape
    DAMAGES[damage](here / GOLDEN)
    with pytest.raises(DamagedFile, match="no golden batch") as caught:
        artifacts.read_golden(here, shape)
    assert str(here / GOLDEN) in caught.value.message and not (here / "trace").exists()


def test_a_pipe_is_no_part_of_an_artifact(here: Path) -> None:
    """Whoever opened it would wait for ever."""
    os.mkfifo(here / "model.fifo")
    with pytest.raises(DamagedFile, match="neither a file nor a folder"):
        artifacts.verify(artifacts.read(here))


def test_without_its_golden_batch_an_artifact_is_not_whole(here: Path) -> None:
    written = artifacts.read(here)
    (here / GOLDEN).unlink()
    artifacts.write(here, dataclasses.replace(written, files={k: v for k, v in written.files.items() if k != GOLDEN}))
    with pytest.raises(DamagedFile, match="missing from the artifact"):
        artifacts.verify(artifacts.read(here))
