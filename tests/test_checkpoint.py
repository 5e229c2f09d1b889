"""A checkpoint is read strictly: whatever is damaged, foreign or forged in it is refused by name, and a pickle never runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from edgevit import checkpoint as checkpoints
from edgevit import folder
from edgevit.checkpoint import RECORD, WEIGHTS
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Checkpoint, Preprocess, TrainConfig
from edgevit.vit.config import config
from edgevit.vit.model import ViT

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ViT]:
    """A checkpoint folder, not to be changed, and its model."""
    torch.manual_seed(0)
    model = ViT(config("Pico/8", (16, 16), 3))
    torch.nn.init.normal_(model.head.weight)
    where = tmp_path_factory.mktemp("saved") / "checkpoint"
    record = Checkpoint(
        model.config, Preprocess((18, 18), (16, 16)), ("a", "b", "c"), {"val_top1": 0.5}, "", {}, TrainConfig("x")
    )
    with folder.written_whole(where, RECORD) as partial:
        checkpoints.save(partial, model, record)
    return where, model


@pytest.fixture
def here(saved: tuple[Path, ViT], tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(saved[0], tmp_path / "checkpoint"))


def _change(here: Path, change: Callable[[Tensors], Any]) -> None:
    """Change the tensors, with the hash put in order, so that nothing but the change is wrong."""
    tensors = safetensors.torch.load_file(here / WEIGHTS)
    change(tensors)
    safetensors.torch.save_file(tensors, here / WEIGHTS)
    _hash_in_order(here)


def _hash_in_order(here: Path) -> None:
    record = json.loads((here / RECORD).read_text())
    record["weights_sha256"] = folder.sha256(here / WEIGHTS)
    (here / RECORD).write_text(json.dumps(record))


def _refused(here: Path, *words: str) -> DamagedFile:
    with pytest.raises(DamagedFile) as caught:
        checkpoints.load(here)
    for word in words:
        assert word in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


def test_reads_back_what_was_saved(saved: tuple[Path, ViT]) -> None:
    where, model = saved
    record, again = checkpoints.load(where)
    assert record.folder == where and record.labels == ("a", "b", "c") and record.weights_sha256
    assert not again.training and {t.dtype for t in again.state_dict().values()} == {torch.float32}
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert checkpoints.read(where) == record


def test_holds_two_files_and_no_pickle(saved: tuple[Path, ViT]) -> None:
    assert sorted(os.listdir(saved[0])) == [RECORD, WEIGHTS]


def test_is_found_itself_or_as_the_best_of_a_run(here: Path, tmp_path: Path) -> None:
    assert checkpoints.find(here) == here
    (tmp_path / "run").mkdir()
    here.rename(tmp_path / "run" / "best")
    assert checkpoints.find(tmp_path / "run") == tmp_path / "run" / "best"
    assert checkpoints.load(tmp_path / "run")[0].folder == tmp_path / "run" / "best"


def test_what_is_none_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such checkpoint"):
        checkpoints.load(tmp_path / "gone")
    with pytest.raises(BadInput, match="no checkpoint in") as caught:
        checkpoints.load(tmp_path)
    assert RECORD in caught.value.hint
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(BadInput, match="a checkpoint is a folder"):
        checkpoints.load(tmp_path / "file.txt")


@pytest.mark.parametrize("name", ["cls_token", "blocks.3.mlp.fc2.bias"])
def test_a_missing_tensor(here: Path, name: str) -> None:
    _change(here, lambda tensors: tensors.pop(name))
    _refused(here, WEIGHTS, "missing tensor", name)


def test_a_tensor_too_many(here: Path) -> None:
    _change(here, lambda tensors: tensors.update({"blocks.4.norm1.weight": torch.ones(64)}))
    _refused(here, WEIGHTS, "unexpected tensor", "blocks.4.norm1.weight")


@pytest.mark.parametrize("shape", [(4, 64), (64, 3), (192,), (1, 3, 64), (0, 64), ()])
def test_a_wrong_shape(here: Path, shape: tuple[int, ...]) -> None:
    """Among them the transposed matrix, which holds as many values."""
    _change(here, lambda tensors: tensors.update({"head.weight": torch.zeros(shape)}))
    _refused(here, WEIGHTS, "head.weight", str(shape), "(3, 64)")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_a_type_that_is_no_float(here: Path, dtype: torch.dtype) -> None:
    _change(here, lambda tensors: tensors.update({"head.bias": torch.zeros(3, dtype=dtype)}))
    _refused(here, WEIGHTS, "head.bias", str(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_read_as_float32(here: Path, dtype: torch.dtype) -> None:
    _change(here, lambda tensors: tensors.update({name: tensor.to(dtype) for name, tensor in tensors.items()}))
    _, model = checkpoints.load(here)
    assert {t.dtype for t in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number(here: Path, value: float) -> None:
    _change(here, lambda tensors: tensors["pos_embed"].view(-1)[7:8].fill_(value))
    _refused(here, WEIGHTS, "pos_embed", "NaN or infinity")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, 10_000, -1])
def test_a_cut_file(here: Path, length: int) -> None:
    whole = (here / WEIGHTS).read_bytes()
    (here / WEIGHTS).write_bytes(whole[:length])
    _hash_in_order(here)
    _refused(here, WEIGHTS)


def test_a_file_that_goes_on(here: Path) -> None:
    (here / WEIGHTS).write_bytes((here / WEIGHTS).read_bytes() + b"more")
    _hash_in_order(here)
    _refused(here, WEIGHTS)


@pytest.mark.parametrize("content", [struct.pack("<Q", 1 << 62) + b"{}", struct.pack("<Q", 2) + b"{}", b"text " * 100])
def test_a_file_of_another_kind(here: Path, content: bytes) -> None:
    """The first says that its header is of four exabytes."""
    (here / WEIGHTS).write_bytes(content)
    _hash_in_order(here)
    _refused(here, WEIGHTS)


def test_weights_that_are_not_there(here: Path) -> None:
    (here / WEIGHTS).unlink()
    _refused(here, "no such file", WEIGHTS)


def test_weights_that_were_changed(here: Path) -> None:
    """One value, finite and small: only the hash can tell."""
    tensors = safetensors.torch.load_file(here / WEIGHTS)
    tensors["head.bias"][0] += 1e-3
    safetensors.torch.save_file(tensors, here / WEIGHTS)
    assert "changed after training" in _refused(here, "hash").hint


class Payload:
    """A pickle that leaves a file behind when it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def _torch_pickle(payload: Payload, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": payload}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _numpy_pickle(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([payload], dtype=object), allow_pickle=True)
    return buffer.getvalue()


PICKLES: dict[str, Callable[[Payload], bytes]] = {
    "torch zip": lambda payload: _torch_pickle(payload, True),
    "torch legacy": lambda payload: _torch_pickle(payload, False),
    "numpy": _numpy_pickle,
    **{f"protocol {n}": (lambda payload, n=n: pickle.dumps({"model": payload}, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("kind", PICKLES)
def test_the_payload_would_run(kind: str, tmp_path: Path) -> None:
    """Or else the tests below would show nothing."""
    content = io.BytesIO(PICKLES[kind](Payload(tmp_path / "trace")))
    if kind == "numpy":
        np.load(content, allow_pickle=True)
    elif kind.startswith("torch"):
        torch.load(content, weights_only=False)
    else:
        pickle.load(content)
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_in_place_of_weights_never_runs(kind: str, here: Path, tmp_path: Path) -> None:
    (here / WEIGHTS).write_bytes(PICKLES[kind](Payload(tmp_path / "trace")))
    _hash_in_order(here)
    _refused(here, WEIGHTS)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("kind", ["torch zip", "torch legacy", "protocol 2", "protocol 4"])
def test_a_pickle_is_called_one(kind: str, here: Path, tmp_path: Path) -> None:
    """Whether it lies in the folder or is named itself, as `model.pt` may be."""
    for file, path in ((here / WEIGHTS, here), (tmp_path / "model.pt", tmp_path / "model.pt")):
        file.write_bytes(PICKLES[kind](Payload(tmp_path / "trace")))
        assert "safetensors" in _refused(path, "a pickle", str(file)).hint
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("head", [b"\x80\x02", b"\x80\x04", b"PK"])
def test_weights_that_begin_like_a_pickle_are_none(head: bytes, here: Path) -> None:
    """A safetensors file begins with the length of its header, which may be any number."""
    tensors = safetensors.torch.load_file(here / WEIGHTS)
    (bare,) = struct.unpack_from("<Q", safetensors.torch.save(tensors, {"pad": ""}))
    wanted = next(n for n in range(bare + 8, 1 << 20) if n % 8 == 0 and struct.pack("<Q", n)[:2] == head)
    safetensors.torch.save_file(tensors, here / WEIGHTS, {"pad": " " * (wanted - bare)})
    assert (here / WEIGHTS).read_bytes()[:2] == head
    _hash_in_order(here)
    assert torch.equal(checkpoints.load(here)[1].head.bias, tensors["head.bias"])


def _change_record(here: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads((here / RECORD).read_text())
    change(record)
    (here / RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("name", "value"),
    [("depth", 3), ("depth", 5), ("width", 128), ("mlp", 64), ("patch", 4), ("image_size", [8, 8]), ("classes", 2)],
)
def test_a_config_that_is_not_that_of_the_weights(here: Path, name: str, value: int) -> None:
    def change(record: dict[str, Any]) -> None:
        record["config"][name] = value
        record["labels"] = record["labels"][: record["config"]["classes"]]
        record["preprocess"]["crop"] = record["config"]["image_size"]

    _change_record(here, change)
    _refused(here, WEIGHTS)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "change",
    [{"width": 1 << 20}, {"width": 1 << 16, "mlp": 1 << 20}, {"depth": 1 << 20}, {"patch": 1, "image_size": [1 << 14, 1 << 14]}],
)
def test_a_config_that_would_fill_the_memory(here: Path, change: dict[str, int]) -> None:
    """Refused from the sizes alone, before anything of them is built."""

    def enlarge(record: dict[str, Any]) -> None:
        record["config"].update(change)
        record["preprocess"].update(resize=record["config"]["image_size"], crop=record["config"]["image_size"])

    _change_record(here, enlarge)
    _refused(here, WEIGHTS)


def test_a_damaged_record_is_refused_before_the_weights_are_read(here: Path) -> None:
    """`test_record` has all the ways; here, that they reach the reader of checkpoints."""
    (here / WEIGHTS).unlink()
    _change_record(here, lambda record: record["preprocess"].update(means=[0, 0, 0]))
    _refused(here, RECORD, "unknown field $.preprocess.means")
    _change_record(here, lambda record: record.pop("labels"))
    _refused(here, RECORD, "labels")
    (here / RECORD).write_text("{")
    _refused(here, RECORD)
    os.truncate(here / RECORD, 1 << 34)
    _refused(here, RECORD, "larger than")


def test_the_folder_is_learned_and_never_believed(here: Path) -> None:
    _change_record(here, lambda record: record.update(folder="/etc"))
    assert checkpoints.read(here).folder == here
