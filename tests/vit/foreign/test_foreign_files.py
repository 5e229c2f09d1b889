"""Weight files that are cut, of another kind, or made to do harm. Nothing they hold is run, and none fills the memory."""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import tracemalloc
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


def _lying(file: Path, method: int) -> Path:
    """An archive of one member of 50 MiB, which it says has 100 bytes."""
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.npy", bytes(50 << 20))
    data = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 100)
    file.write_bytes(data)
    return file


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_larger_than_it_says(method: int, tmp_path: Path) -> None:
    """The size that an archive declares is a claim, and no more than that is unpacked."""
    file = _lying(tmp_path / "model.npz", method)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFile, match=r"data.npy is not whole|data.npy is packed by method"):
            _open(file)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20, "bytes at the most, where the member has 50 MiB"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", [".pth", ".npz"])
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_nothing_bounds(method: int, ending: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / f"model{ending}", "w", method) as archive:
        archive.writestr("x.npy", _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes(4)))
    with pytest.raises(DamagedFile, match=f"x.npy is packed by method {method}"):
        _open(tmp_path / f"model{ending}")


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


def _header(kind: str, shape: str) -> str:
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}"


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
        (_npy(_header("'<f4'", "(-2, -2)"), bytes(16)), "and not so many values"),
        (_npy(_header("'<f4'", "(True,)"), bytes(4)), "and not so many values"),
        (_npy(_header("'<f4'", f"({'1,' * 70})"), bytes(4)), "and not so many values"),
        (_npy(_header("'<f4'", f"(0, {10**30})")), "and not so many values"),
        (_npy(_header("('<f4',)", "(1,)"), bytes(4)), "is no whole array"),
        (_npy(_header("()", "(1,)"), bytes(4)), "is no whole array"),
        (_npy(_header("('<f4', (2,))", "(1,)"), bytes(8)), "is no array of numbers"),
        (_npy("{'descr': '<f4', 'shape': ("), "is no whole array"),
        (_npy("-" * 9000 + "1"), "is no whole array"),
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


@pytest.mark.parametrize("place", [0, 40, 50, 60, 100, 500])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_with_bytes_changed(method: int, place: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.npz", "w", method) as archive:
        data = np.random.default_rng(0).bytes(4000)
        archive.writestr("x.npy", _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000,), }", data))
    whole = bytearray((tmp_path / "model.npz").read_bytes())
    for at in range(place, place + 12):
        whole[at] ^= 0x5A
    (tmp_path / "model.npz").write_bytes(whole)
    with pytest.raises(DamagedFile, match=r"model\.npz"):
        _open(tmp_path / "model.npz")


def test_a_member_that_lies_outside_the_archive(tmp_path: Path) -> None:
    whole = bytearray(_npz(tmp_path / "model.npz", **{"x.npy": bytes(4)}).read_bytes())
    at = whole.index(b"PK\x01\x02") + 42
    for offset in (len(whole) - 5, len(whole) + 50, 1 << 31):
        whole[at : at + 4] = struct.pack("<I", offset)
        (tmp_path / "model.npz").write_bytes(whole)
        with pytest.raises(DamagedFile, match=r"model\.npz"):
            _open(tmp_path / "model.npz")


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
    "nested": lambda: {"x": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])},
    "jagged": lambda: {"x": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)},
    "complex": lambda: {"x": torch.zeros(2, dtype=torch.complex64)},
    "one storage for all": lambda: dict.fromkeys(map(str, range(1000)), torch.zeros(1 << 14)),
    "a number among tensors": lambda: {"state_dict": {"x": torch.ones(2), "epoch": 3}},
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_pickles_of_something_else(kind: str, tmp_path: Path, little_memory: None) -> None:
    torch.save(OTHERS[kind](), tmp_path / "model.pth")
    with pytest.raises(DamagedFile, match=r"model\.pth"):
        _open(tmp_path / "model.pth")


@pytest.mark.parametrize("form", ["plain", "torch"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_buffer_of_any_length(form: str, tmp_path: Path, little_memory: None) -> None:
    """torch's reader knows `bytearray`, whose length is a number in the file."""
    value = b"\x80\x02}X\x01\x00\x00\x00xcbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85Rs."
    file = tmp_path / "model.pth"
    if form == "plain":
        file.write_bytes(value)
    else:
        torch.save({"x": torch.ones(2)}, tmp_path / "other.pth")
        with zipfile.ZipFile(tmp_path / "other.pth") as other, zipfile.ZipFile(file, "w") as archive:
            for name in other.namelist():
                archive.writestr(name, value if name.endswith(".pkl") else other.read(name))
    with pytest.raises(DamagedFile, match="it makes a bytearray"):
        _open(file)


def test_a_tensor_with_two_names(tmp_path: Path) -> None:
    """A model may share one: what is refused is many times the file's size."""
    shared = torch.randn(1 << 19)
    torch.save({"x": shared, "y": shared}, tmp_path / "model.pth")
    assert torch.equal(_open(tmp_path / "model.pth")["y"], shared)


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


@pytest.mark.parametrize(
    ("kind", "shape", "size"), [("F4", 2, 1), ("F8_E8M0", 1, 1), ("F8_E4M3", 1, 1), ("C64", 1, 8), ("U64", 1, 8)]
)
def test_types_that_no_weights_have(kind: str, shape: int, size: int, tmp_path: Path) -> None:
    text = json.dumps({"x": {"dtype": kind, "shape": [shape], "data_offsets": [0, size]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    with pytest.raises(DamagedFile, match=f"x has type {kind}") as caught:
        _open(tmp_path / "model.safetensors")
    assert "float32" in caught.value.hint


def test_more_tensors_than_any_model_has(tmp_path: Path) -> None:
    header = {f"x{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_001)}
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(DamagedFile, match="100001 tensors, no file of a model's weights"):
        _open(tmp_path / "model.safetensors")


def test_the_config_beside_a_file_speaks_for_it(tmp_path: Path) -> None:
    """As long as it is one of timm's or transformers'; other programs have a config.json too."""
    safetensors.torch.save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    file = tmp_path / "a.safetensors"
    assert opened(file, "a").folder is None
    for told, folder in (({"seed": 3}, None), ({"architecture": "vit"}, tmp_path), ({"model_type": "vit"}, tmp_path)):
        (tmp_path / "config.json").write_text(json.dumps(told))
        assert opened(file, "a").folder == folder and opened(file, "a").beside == (folder is not None)
    (tmp_path / "config.json").write_text('{"architecture": ')
    with pytest.raises(DamagedFile, match=r"config.json") as caught:
        opened(file, "a")
    assert "edgevit" not in caught.value.hint


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
