"""idx files as MNIST is published: read exactly, and never believed further than their bytes go."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edgevit.data import open_source
from edgevit.errors import BadInput, DamagedFile

PIXELS = np.arange(20 * 4 * 5, dtype=np.uint32).astype(np.uint8).reshape(20, 4, 5)
CLASSES = np.arange(20, dtype=np.uint8) % 4
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


def _idx(array: np.ndarray, magic: int | None = None, shape: tuple[int, ...] | None = None) -> bytes:
    sizes = array.shape if shape is None else shape
    return struct.pack(f">I{len(sizes)}I", magic or 0x0800 + array.ndim, *sizes) + array.tobytes()


def _write(root: Path, part: str, pixels: np.ndarray = PIXELS, classes: np.ndarray = CLASSES, zipped: bool = False) -> str:
    for name, array in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", classes)):
        file = root / (name + ".gz" if zipped else name)
        file.write_bytes(gzip.compress(_idx(array)) if zipped else _idx(array))
    return str(root)


def _refused(root: Path, *words: str, kind: type[BadInput] = DamagedFile) -> BadInput:
    with pytest.raises(kind) as caught:
        open_source(str(root))
    assert all(word in caught.value.message for word in words), caught.value.message
    return caught.value


@pytest.mark.parametrize("zipped", [False, True])
def test_images_and_labels_are_read_exactly(tmp_path: Path, zipped: bool) -> None:
    _write(tmp_path, "train", zipped=zipped)
    found = open_source(_write(tmp_path, "t10k", PIXELS[:6], CLASSES[:6], zipped))
    assert found.labels == ("0", "1", "2", "3") and found.native_size == 5 and not found.photos
    assert not found.named and found.has_held_out
    assert (len(found.train), len(found.held_out)) == (20, 6)
    assert found.train.names[7] == "train/00007" and found.held_out.names[5] == "t10k/00005"
    assert np.array_equal(found.train.classes, CLASSES)
    assert all(np.array_equal(np.asarray(found.train.open(i)), PIXELS[i]) for i in range(20))
    assert found.train.open(0).mode == "L" and found.train.open(0).size == (5, 4)


def test_without_a_test_set_some_of_each_class_are_held_out(tmp_path: Path) -> None:
    found = open_source(_write(tmp_path, "train"))
    assert np.bincount(found.held_out.classes).tolist() == [1] * 4 and np.bincount(found.train.classes).tolist() == [4] * 4


def test_labels_count_to_the_highest_of_both_parts(tmp_path: Path) -> None:
    _write(tmp_path, "train", classes=CLASSES % 2)
    assert open_source(_write(tmp_path, "t10k")).labels == ("0", "1", "2", "3")


def test_one_class_is_refused(tmp_path: Path) -> None:
    _refused(Path(_write(tmp_path, "train", classes=CLASSES * 0)), "only one class", str(tmp_path), kind=BadInput)


def test_missing_labels_are_named(tmp_path: Path) -> None:
    _write(tmp_path, "train")
    (tmp_path / TRAIN[1]).unlink()
    _refused(tmp_path, "missing", TRAIN[1], kind=BadInput)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", TRAIN)
@pytest.mark.parametrize("left", [0, 3, 6, 0.5, -1])
def test_a_cut_file_is_named(tmp_path: Path, name: str, left: float, zipped: bool) -> None:
    _write(tmp_path, "train", zipped=zipped)
    file = tmp_path / (name + ".gz" if zipped else name)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(left * len(whole)) if isinstance(left, float) else left])
    _refused(tmp_path, str(file))


@pytest.mark.parametrize("position", [20, -6, -2])
def test_a_changed_gz_is_noticed(tmp_path: Path, position: int) -> None:
    """In the data, in its checksum, in its length: that all was read does not mean that it was right."""
    _write(tmp_path, "train", zipped=True)
    file = tmp_path / f"{TRAIN[0]}.gz"
    changed = bytearray(file.read_bytes())
    changed[position] ^= 0x55
    file.write_bytes(changed)
    _refused(tmp_path, str(file))


def test_what_is_no_gz_is_named(tmp_path: Path) -> None:
    _write(tmp_path, "train")
    (tmp_path / TRAIN[0]).rename(tmp_path / f"{TRAIN[0]}.gz")
    _refused(tmp_path, f"{TRAIN[0]}.gz")


@pytest.mark.parametrize("magic", [0x0801, 0x0804, 0x0903, 0x0D03, 0x03080000, 0xFFFFFFFF])
def test_a_wrong_magic_is_named(tmp_path: Path, magic: int) -> None:
    """Other dimensions, signed bytes, floats, the other byte order."""
    _write(tmp_path, "train")
    (tmp_path / TRAIN[0]).write_bytes(_idx(PIXELS, magic))
    _refused(tmp_path, "not an idx file of unsigned bytes with 3 dimensions", TRAIN[0])


@pytest.mark.parametrize("shape", [(21, 4, 5), (19, 4, 5), (20, 5, 5), (20, 4, 4)])
def test_a_header_that_counts_otherwise_than_the_file(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    _write(tmp_path, "train")
    (tmp_path / TRAIN[0]).write_bytes(_idx(PIXELS, shape=shape))
    _refused(tmp_path, str(tmp_path / TRAIN[0]), "header")


def test_more_images_than_labels(tmp_path: Path) -> None:
    _refused(Path(_write(tmp_path, "train", classes=CLASSES[:19])), "20 images but 19 labels", "train")


@pytest.mark.parametrize("pixels", [PIXELS[:0], PIXELS[:, :0], PIXELS[:, :, :0]])
def test_no_images(tmp_path: Path, pixels: np.ndarray) -> None:
    _refused(Path(_write(tmp_path, "train", pixels, CLASSES[: len(pixels)])), "no images", kind=BadInput)


def _peak_of_refusal(root: Path) -> int:
    tracemalloc.start()
    try:
        _refused(root)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gz_bomb_is_read_no_further_than_its_header_says(tmp_path: Path) -> None:
    """200 kB that unpack to 200 MB, where the header says 400 bytes."""
    _write(tmp_path, "train", zipped=True)
    (tmp_path / f"{TRAIN[0]}.gz").write_bytes(gzip.compress(_idx(PIXELS) + bytes(200 << 20), 1))
    assert _peak_of_refusal(tmp_path) < 16 << 20


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(1 << 31, 1 << 31, 1 << 31), (1 << 20, 1 << 20, 1), (1 << 20, 1 << 10, 8), (1 << 20, 5, 4)])
def test_a_header_that_promises_too_much_is_not_believed(tmp_path: Path, shape: tuple[int, int, int], zipped: bool) -> None:
    """And no memory is set aside for what it promises."""
    _write(tmp_path, "train", zipped=zipped)
    content = _idx(PIXELS, shape=shape)
    (tmp_path / (TRAIN[0] + ".gz" if zipped else TRAIN[0])).write_bytes(gzip.compress(content) if zipped else content)
    assert _peak_of_refusal(tmp_path) < 16 << 20
