"""A folder per class: what is an image of which class, and what is refused, by name."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevit.data import open_source
from edgevit.data.decoding import open_image
from edgevit.errors import BadInput, DamagedFile


def _image(path: Path, colour: str = "red", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), colour).save(path, **options)
    return path


def _classes(root: Path, **counts: int) -> Path:
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for i in range(count):
            _image(root / label / f"{i}.png")
    return root


def test_classes_are_the_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = open_source(str(_classes(tmp_path, tulip=5, daisy=10, rose=5)))
    assert found.labels == ("daisy", "rose", "tulip") and found.photos and found.native_size == 224
    assert np.bincount(found.train.classes).tolist() == [8, 4, 4] and np.bincount(found.held_out.classes).tolist() == [2, 1, 1]
    for part in (found.train, found.held_out):
        assert [found.labels[c] for c in part.classes] == [name.partition("/")[0] for name in part.names]
        assert part.open(0).size == (9, 7)


def test_what_counts_as_an_image(tmp_path: Path) -> None:
    _classes(tmp_path, a=2, b=2)
    for name in ("a/x.JPG", "a/y.jpeg", "a/deep/er/z.webp", "a/ü ö\n.png", "c/1.jpg", "c/2.PNG"):
        _image(tmp_path / name, format="PNG")
    (tmp_path / "a" / "notes.txt").write_text("text")
    (tmp_path / "a" / "folder.jpg").mkdir()
    (tmp_path / "README.md").write_text("text")
    _image(tmp_path / "cover.png")
    _image(tmp_path / ".thumbnails" / "1.png")
    found = open_source(str(tmp_path))
    assert found.labels == ("a", "b", "c")
    names = set(found.split("all").names)
    assert names == {
        "a/0.png", "a/1.png", "a/x.JPG", "a/y.jpeg", "a/deep/er/z.webp", "a/ü ö\n.png", "b/0.png", "b/1.png",
        "c/1.jpg", "c/2.PNG",
    }  # fmt: skip


@pytest.mark.parametrize("aside", ["val", "validation", "valid", "test"])
def test_a_split_of_its_own_is_kept(tmp_path: Path, aside: str) -> None:
    _classes(tmp_path / "train", a=3, b=1)
    _classes(tmp_path / aside, a=1, b=2)
    found = open_source(str(tmp_path), held_out=0.9)
    assert found.labels == ("a", "b")
    assert found.train.names == ["a/0.png", "a/1.png", "a/2.png", "b/0.png"]
    assert found.held_out.names == ["a/0.png", "b/0.png", "b/1.png"]
    assert found.has_held_out and len(found.split("all")) == 7
    with pytest.raises(BadInput, match=f"no test images in {tmp_path}"):
        found.split("test")


def test_of_three_splits_val_is_held_out_and_test_a_split_of_its_own(tmp_path: Path) -> None:
    for name, count in {"test": 1, "train": 3, "val": 2}.items():
        _classes(tmp_path / name, a=count, b=count)
    found = open_source(str(tmp_path))
    assert [len(found.split(part)) for part in ("train", "held-out", "test", "all")] == [6, 4, 2, 12]
    assert found.test.names == ["a/0.png", "b/0.png"]


def test_test_images_without_classes_beside_val_are_no_split(tmp_path: Path) -> None:
    for name in ("train", "val"):
        _classes(tmp_path / name, a=2, b=2)
    _image(tmp_path / "test" / "0001.png")
    found = open_source(str(tmp_path))
    assert len(found.split("all")) == 8
    with pytest.raises(BadInput, match="no test images"):
        found.split("test")


def test_train_alone_is_divided(tmp_path: Path) -> None:
    found = open_source(str(_classes(tmp_path / "train", a=3, b=2).parent))
    assert found.labels == ("a", "b") and not found.has_held_out
    assert (len(found.train), len(found.held_out)) == (3, 2)


def test_train_may_be_a_class(tmp_path: Path) -> None:
    assert open_source(str(_classes(tmp_path, bus=2, train=2))).labels == ("bus", "train")


def test_two_folders_of_validation_images_are_too_many(tmp_path: Path) -> None:
    for name in ("train", "val", "valid"):
        _classes(tmp_path / name, a=2, b=2)
    with pytest.raises(BadInput, match=r"more than one folder of validation images.*: val, valid"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("part", ["val", "test"])
def test_every_split_must_have_the_classes_of_train(tmp_path: Path, part: str) -> None:
    for name in ("train", "val", "test"):
        _classes(tmp_path / name, a=2, b=2, **({"c": 1} if name == part else {}))
    with pytest.raises(BadInput, match=f"classes in only one of train and {part}: c"):
        open_source(str(tmp_path))


def test_both_halves_must_have_the_same_classes(tmp_path: Path) -> None:
    _classes(tmp_path / "train", a=2, b=2)
    _classes(tmp_path / "val", a=2, b=2, c=2)
    with pytest.raises(BadInput, match="classes in only one of train and val: c"):
        open_source(str(tmp_path))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"no images in {tmp_path}") as caught:
        open_source(str(tmp_path))
    assert "folder per class" in caught.value.hint and ".jpg" in caught.value.hint


def test_images_without_a_class(tmp_path: Path) -> None:
    _image(tmp_path / "1.png")
    with pytest.raises(BadInput, match="no images in"):
        open_source(str(tmp_path))


def test_an_empty_class(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"no image in class b of {tmp_path}"):
        open_source(str(_classes(tmp_path, a=3, b=0)))


def test_a_class_with_one_image(tmp_path: Path) -> None:
    """It can be tested on, but not be divided."""
    found = open_source(str(_classes(tmp_path, a=3, b=1)))
    assert len(found.split("all")) == 4 and not found.has_held_out
    for part in ("train", "held-out"):
        with pytest.raises(BadInput, match="only one image in class b") as caught:
            found.split(part)
        assert "held out" in caught.value.hint and "--split all" in caught.value.hint


def test_only_one_class(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"only one class in {tmp_path}: a"):
        open_source(str(_classes(tmp_path, a=3)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    _classes(tmp_path, a=2, b=2)
    (tmp_path / "b").chmod(0)
    try:
        with pytest.raises((BadInput, OSError), match=r"(?i)permission|no image"):
            open_source(str(tmp_path))
    finally:
        (tmp_path / "b").chmod(0o700)


def _noise(path: Path, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """A file of some thousand bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["image.jpg", "image.png", "image.webp"])
@pytest.mark.parametrize("left", [0, 1, 10, 0.1, 0.5, 0.9])
def test_a_cut_image_is_refused_by_name(tmp_path: Path, name: str, left: float) -> None:
    file = tmp_path / name
    whole = _noise(file)
    file.write_bytes(whole[: int(left * len(whole)) if left < 1 else int(left)])
    with pytest.raises(DamagedFile) as caught:
        open_image(file)
    assert str(file) in caught.value.message and "\n" not in caught.value.message


def test_whole_images_are_read(tmp_path: Path) -> None:
    """The counterpart of the test above."""
    for name in ("image.jpg", "image.png", "image.webp"):
        _noise(tmp_path / name)
        assert open_image(tmp_path / name).size == (64, 48)


def test_a_broken_checksum_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    whole = bytearray(_noise(file))
    whole[len(whole) // 2] ^= 1
    file.write_bytes(whole)
    with pytest.raises(DamagedFile, match=f"cannot decode {file}"):
        open_image(file)


@pytest.mark.parametrize("content", [b"text", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x10\0\0\0WEBP"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image.jpg").write_bytes(content)
    with pytest.raises(DamagedFile, match=str(tmp_path / "image.jpg")):
        open_image(tmp_path / "image.jpg")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "EPS", "PDF"])
def test_a_disguised_format_is_refused(tmp_path: Path, kind: str) -> None:
    """Only three decoders are let near a file, whatever its name."""
    with pytest.raises(DamagedFile, match="not a JPEG, PNG or WebP image"):
        open_image(_image(tmp_path / "image.png", format=kind))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_eight_bits_a_channel_are_read(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (4, 4), "red").convert(mode).save(tmp_path / "image.png")
    assert open_image(tmp_path / "image.png").mode == mode


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    """Pillow would clip them without a word."""
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "image.png")
    with pytest.raises(DamagedFile, match=r"pixels of type I;16, not 8 bits a channel: .*image\.png") as caught:
        open_image(tmp_path / "image.png")
    assert "convert" in caught.value.hint


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bomb(width: int, height: int) -> bytes:
    """A small PNG whose header promises width x height pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + _chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 10_000), (30_000, 30_000), (1 << 31, 1 << 31), ((1 << 31) - 1, 1)])
def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path, size: tuple[int, int]) -> None:
    """The first is one that Pillow only warns of."""
    (tmp_path / "image.png").write_bytes(_bomb(*size))
    with pytest.raises(DamagedFile, match=str(tmp_path / "image.png")):
        open_image(tmp_path / "image.png")


def test_a_text_chunk_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    image = io.BytesIO()
    Image.new("RGB", (2, 2)).save(image, "PNG")
    whole = image.getvalue()
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20)))
    (tmp_path / "image.png").write_bytes(whole[:33] + text + whole[33:])
    with pytest.raises(DamagedFile, match=str(tmp_path / "image.png")):
        open_image(tmp_path / "image.png")


OPENERS: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to nowhere": lambda path: path.symlink_to("gone"),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("what", OPENERS)
def test_what_is_no_file_is_refused(tmp_path: Path, what: str) -> None:
    OPENERS[what](tmp_path / "image.png")
    with pytest.raises(DamagedFile, match=str(tmp_path / "image.png")):
        open_image(tmp_path / "image.png")
