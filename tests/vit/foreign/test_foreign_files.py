"""Weight files that are cut, of another kind, or made to do harm. Nothing they hold is run, and none fills the memory."""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from edgevit.errors import BadInput, DamagedFile
from edgevit.vit.foreign.files import opened


def _open(path: Path) -> dict[str, torch.Tensor]:
    return opened(path, str(path)).tensors


@pytest.fixture
def little_memory() -> Iterator[None]:
    """What asks for more than a gigabyte on top of what is there fails instead of succeeding slowly."""
    held = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if Path("/proc/self/statm").exists()
        else 1 << 40
    )
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


class _Evil:
    """A pickle that writes a file when it is opened."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (open, (str(self.file), "w"))


@pytest.mark.parametrize("ending", [".pth", ".pt", ".bin", ".safetensors", ".npz"])
@pytest.mark.parametrize("form", ["plain", "torch", "legacy torch", "among tensors"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_hostile_pickles_are_refused_and_do_nothing(ending: str, form: str, tmp_path: Path) -> None:
    file, mark = tmp_path / f"model{ending}", tmp_path / "owned"
    value: object = {"x": torch.ones(2), "y": _Evil(mark)} if form == "among tensors" else _Evil(mark)
    if form == "plain":
        file.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, file, _use_new_zipfile_serialization=form != "legacy torch")
    with pytest.raises(DamagedFile) as caught:
        _open(file)
    assert str(file) in caught.value.message and caught.value.hint
    assert not mark.exists()


def test_the_hostile_pickle_is_one(tmp_path: Path) -> None:
    """Were it harmless, the test above would show nothing."""
    pickle.loads(pickle.dumps(_Evil(tmp_path / "owned"))).close()
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("ending", [".pth", ".npz"])
def test_zip_bombs(ending: str, tmp_path: Path, little_memory: None) -> None:
    file = tmp_path / f"model{ending}"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        zeros = bytes(1 << 24)
        for n in range(6):
            archive.writestr(f"archive/data/{n}.npy", zeros)
    with pytest.raises(DamagedFile, match="a zip bomb"):
        _open(file)


def test_a_member_larger_than_it_says(tmp_path: Path, little_memory: None) -> None:
    """The size that an archive declares is a claim, and no more than that is unpacked."""
    file = tmp_path / "model.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(50 << 20))
    data = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 100)
    file.write_bytes(data)
    with pytest.raises(DamagedFile, match=r"a.npy is no whole array"):
        _open(file)


def test_arrays_of_objects(tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    np.savez(tmp_path / "model.npz", **{"head/kernel": np.array([_Evil(mark)], dtype=object)})
    with pytest.raises(DamagedFile, match="head/kernel is an array of objects"):
        _open(tmp_path / "model.npz")
    assert not mark.exists()


def _npz(file: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def _npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118, b" ") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"), "and not so many values"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }", bytes(16)), "and not so many values"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", bytes(16)), "and not so many values"),
        (_npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps(1)), "is an array of objects"),
        (_npy("{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (0,), }"), "is an array of objects"),
        (_npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", bytes(16)), "is no array of numbers"),
        (_npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", bytes(16)), "is no array of numbers"),
        (_npy("{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }", bytes(16)), "is no array of numbers"),
        (_npy("__import__('os').mkdir('owned')"), "is no whole array"),
        (b"\x93NUMPY\x03\x00\x00\x00", "is no whole array"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is no whole array"),
        (b"", "is no whole array"),
    ],
)
def test_arrays_that_lie(data: bytes, words: str, tmp_path: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DamagedFile, match=words):
        _open(_npz(tmp_path / "model.npz", **{"x.npy": data}))
    assert not (tmp_path / "owned").exists()


def test_zips_that_are_no_npz(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"notes.txt is no array"):
        _open(_npz(tmp_path / "a.npz", **{"notes.txt": b"hello"}))
    (tmp_path / "b.npz").write_bytes(b"not a zip at all")
    with pytest.raises(DamagedFile, match="no whole zip archive"):
        _open(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x.npy", _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes(4)))
        archive.writestr("x.npy", _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes(4)))
    with pytest.raises(DamagedFile, match="2 members with 1 names"):
        _open(tmp_path / "c.npz")


def test_cut_files(tmp_path: Path) -> None:
    tensors = {"x": torch.randn(100, 100)}
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "b.pth")
    torch.save(tensors, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    np.savez(tmp_path / "d.npz", x=tensors["x"].numpy())
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        for length in (0, 4, 9, 60, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:length])
            with pytest.raises(DamagedFile) as caught:
                _open(file)
            assert str(file) in caught.value.message


OTHERS: dict[str, Callable[[], object]] = {
    "list": lambda: [torch.ones(2)],
    "tensor": lambda: torch.ones(2),
    "empty": dict,
    "by number": lambda: {1: torch.ones(2)},
    "number": lambda: {"x": 3},
    "list in it": lambda: {"x": [torch.ones(2)]},
    "no weights": lambda: {"model": 5},
    "a view of one value": lambda: {"x": torch.zeros(1).expand(1 << 20, 1 << 20)},
    "sparse": lambda: {"x": torch.ones(3).to_sparse()},
    "quantized": lambda: {"x": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)},
    "meta": lambda: {"x": torch.empty(1 << 20, 1 << 20, device="meta")},
    "a number among tensors": lambda: {"state_dict": {"x": torch.ones(2), "epoch": 3}},
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_pickles_of_something_else(kind: str, tmp_path: Path, little_memory: None) -> None:
    torch.save(OTHERS[kind](), tmp_path / "model.pth")
    with pytest.raises(DamagedFile, match=r"model\.pth"):
        _open(tmp_path / "model.pth")


def test_what_training_scripts_save(tmp_path: Path) -> None:
    for value in (
        {"x": torch.ones(2)},
        OrderedDict(x=torch.ones(2)),
        {"model": {"x": torch.ones(2)}},
        {"state_dict": {"x": torch.ones(2)}, "lr": 0.1},
    ):
        torch.save(value, tmp_path / "model.pth")
        assert torch.equal(_open(tmp_path / "model.pth")["x"], torch.ones(2))


def test_safetensors_that_lie(tmp_path: Path) -> None:
    def file(header: object, data: bytes = b"") -> Path:
        text = json.dumps(header).encode()
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
        return tmp_path / "model.safetensors"

    for header in (
        {"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 40]}},
        {"x": {"dtype": "what", "shape": [1], "data_offsets": [0, 4]}},
        {"x": 3},
    ):
        with pytest.raises(DamagedFile, match="no whole safetensors file"):
            _open(file(header, bytes(4)))
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{")
    with pytest.raises(DamagedFile, match="no whole safetensors file"):
        _open(tmp_path / "model.safetensors")


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no weight file in"):
        _open(tmp_path)
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, x=np.ones(2))
    with pytest.raises(BadInput, match=r"several weight files in .*: a.npz, b.npz"):
        _open(tmp_path)
    safetensors.torch.save_file({"y": torch.ones(2)}, tmp_path / "other.safetensors")
    assert set(_open(tmp_path)) == {"y"}, "the better kind"
    safetensors.torch.save_file({"z": torch.ones(2)}, tmp_path / "model.safetensors")
    assert set(_open(tmp_path)) == {"z"}, "the usual name"
    (tmp_path / "checkpoint.json").write_text("{}")
    with pytest.raises(BadInput, match="already a checkpoint of edgevit's"):
        _open(tmp_path)


def test_paths_that_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file or folder") as caught:
        _open(tmp_path / "absent.safetensors")
    assert "owner/name" in caught.value.hint
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BadInput, match="no weight file that edgevit reads"):
        _open(tmp_path / "model.onnx")


def test_tensors_of_no_known_format(take: Any, tmp_path: Path) -> None:
    safetensors.torch.save_file({"layer1.0.bn1.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"tensors of no format that edgevit knows: layer1.0.bn1.weight") as caught:
        take(tmp_path)
    assert "timm" in caught.value.hint


def test_bytes_that_are_no_file_of_ours(tmp_path: Path) -> None:
    """Noise behind every ending, and a picture."""
    random = np.random.default_rng(0)
    for ending in (".safetensors", ".npz", ".pth", ".bin"):
        for size in (0, 1, 8, 9, 1000):
            (tmp_path / f"x{ending}").write_bytes(random.bytes(size))
            with pytest.raises(DamagedFile):
                _open(tmp_path / f"x{ending}")
    stream = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (8, 8)).save(stream, "PNG")
    (tmp_path / "x.pth").write_bytes(stream.getvalue())
    with pytest.raises(DamagedFile):
        _open(tmp_path / "x.pth")
