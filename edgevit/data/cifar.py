"""CIFAR-10 and CIFAR-100 as published: the archive `cifar-10-python.tar.gz`, or the folder that it unpacks to.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. Pickles of Python 2 with `data` (N, 3072) uint8, the red, green and blue
planes of 32x32 images, `labels` or `fine_labels`, and the names of the classes in a file of their own.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from edgevit.data import pickled
from edgevit.data.dataset import Dataset, Divided, Images
from edgevit.errors import BadInput, DamagedFile

SIDE = 32
SUFFIXES = (".tar.gz", ".tgz", ".tar")
BLOCK = 512
PADDING = 1 << 20
LARGEST = 200 << 20
"""Bytes of one member. CIFAR-100's training images are 155 MB."""
MOST = 1 << 30
"""Bytes of a whole archive, unpacked. Both are below 200 MB."""
EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
"""Members that only say more about the next one; nothing of it is needed here."""


@dataclass(frozen=True)
class _Kind:
    """One of the two: its folder, its files, and under which keys they keep the names and numbers of the classes."""

    folder: str
    meta: str
    train: tuple[str, ...]
    test: str
    names: str
    numbers: str

    @property
    def files(self) -> tuple[str, ...]:
        return (self.meta, *self.train, self.test)


KINDS = (
    _Kind(
        "cifar-10-batches-py", "batches.meta", tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch",
        "label_names", "labels",
    ),
    _Kind("cifar-100-python", "meta", ("train",), "test", "fine_label_names", "fine_labels"),
)  # fmt: skip


def recognises(spec: str) -> bool:
    path = Path(spec)
    return (path.is_file() and path.name.endswith(SUFFIXES)) or _kind_of_folder(path) is not None


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    """The published test images are held out. CIFAR-100's classes are the hundred fine ones.

    Raises DamagedFile for an archive or folder that lacks a file, or has one that is cut, altered or not CIFAR's.
    """
    path = Path(spec)
    kind, contents = _folder(path) if path.is_dir() else _archive(path)
    labels = _labels(kind, contents[kind.meta], path)
    train = _images(kind, kind.train, contents, len(labels), path)
    return Dataset(spec, labels, Divided(train, _images(kind, (kind.test,), contents, len(labels), path)), SIDE, photos=True)


def _kind_of_folder(path: Path) -> _Kind | None:
    return next((kind for kind in KINDS if all((path / name).is_file() for name in (kind.meta, kind.train[0]))), None)


def _folder(path: Path) -> tuple[_Kind, dict[str, dict[str, Any]]]:
    kind = _kind_of_folder(path)
    assert kind
    if absent := [name for name in kind.files if not (path / name).is_file()]:
        raise BadInput(f"missing from {path}: {', '.join(absent)}")
    if large := [name for name in kind.files if (path / name).stat().st_size > LARGEST]:
        raise DamagedFile(f"larger than any file of CIFAR: {path / large[0]}")
    return kind, {name: _record((path / name).read_bytes(), path / name) for name in kind.files}


def _archive(path: Path) -> tuple[_Kind, dict[str, dict[str, Any]]]:
    """The records in an archive, read one after the other. Nothing is written, so no name in it leads anywhere."""
    wanted = {f"{kind.folder}/{name}": (kind, name) for kind in KINDS for name in kind.files}
    found: dict[_Kind, dict[str, dict[str, Any]]] = {}
    for full, content in _members(path, wanted.keys()):
        kind, name = wanted[full]
        if name in found.setdefault(kind, {}):
            raise DamagedFile(f"{full} is twice in {path}")
        found[kind][name] = _record(content, f"{full} in {path}")
    if len(found) != 1:
        expected = " or ".join(kind.folder for kind in KINDS)
        raise BadInput(f"not a CIFAR archive: {path}", f"one has a folder {expected}; unpack an archive of another kind")
    kind, records = found.popitem()
    if absent := [name for name in kind.files if name not in records]:
        raise DamagedFile(f"missing from {path}: {', '.join(absent)}")
    return kind, records


def _members(path: Path, wanted: Any) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted regular files. Sizes are checked before anything is read, and links are refused."""
    total = 0
    try:
        with path.open("rb") if path.suffix == ".tar" else gzip.open(path) as file:
            while (head := file.read(BLOCK)).strip(b"\0"):
                member = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
                total += BLOCK + member.size
                _allow(member, total, path)
                content = _read(file, member.size, keep=member.name.removeprefix("./") in wanted and member.isreg())
                _read(file, -member.size % BLOCK)
                if content:
                    yield member.name.removeprefix("./"), content
            if len(file.read(PADDING)) == PADDING:  # read to its end, where gz keeps its checksum
                raise DamagedFile(f"goes on behind its last file: {path}")
    except (OSError, EOFError, zlib.error, tarfile.HeaderError, ValueError) as error:
        raise DamagedFile(f"cut or damaged: {path}", str(error)) from error


def _allow(member: tarfile.TarInfo, total: int, path: Path) -> None:
    if not (member.isreg() or member.isdir() or member.type in EXTENSIONS):
        raise DamagedFile(f"a link or device in {path}: {member.name!r}", "CIFAR as published has neither")
    if not 0 <= member.size <= LARGEST or total > MOST:
        raise DamagedFile(f"unpacks to more than any file of CIFAR: {path}: {member.name!r}")


def _read(file: BinaryIO | gzip.GzipFile, size: int, keep: bool = False) -> bytes:
    """The next `size` bytes, or, where they are not kept, none. Raises EOFError where there are fewer."""
    parts, left = [], size
    while left:
        part = file.read(min(left, 1 << 20))
        if not part:
            raise EOFError("it ends within a file")
        left -= len(part)
        if keep:
            parts.append(part)
    return b"".join(parts)


def _record(content: bytes, place: Path | str) -> dict[str, Any]:
    """The dictionary in one file, its keys as text."""
    record = pickled.read(content, place)
    if not isinstance(record, dict):
        raise DamagedFile(f"not a file of CIFAR: {place}", f"it holds a {type(record).__name__}, not a dictionary")
    return {_text(key): value for key, value in record.items()}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else ""


def _labels(kind: _Kind, meta: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = meta.get(kind.names)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise DamagedFile(f"no list {kind.names} in {kind.meta} of {path}")
    return tuple(_text(name) for name in names)


def _images(kind: _Kind, files: tuple[str, ...], contents: dict[str, dict[str, Any]], labels: int, path: Path) -> Images:
    """The images of some of the files; `pixels` stay the planes that were read, and each becomes an image when it is opened."""
    names: list[str] = []
    planes: list[np.ndarray] = []
    classes: list[int] = []
    for file in files:
        pixels = _pixels(contents[file], f"{file} of {path}")
        classes += _classes(contents[file].get(kind.numbers), len(pixels), labels, f"{file} of {path}")
        planes += list(pixels)
        names += [f"{file}/{i:05d}" for i in range(len(pixels))]
    return Images(names, np.array(classes), lambda i: Image.fromarray(planes[i].reshape(3, SIDE, SIDE).transpose(1, 2, 0)))


def _pixels(record: dict[str, Any], place: str) -> np.ndarray:
    data = record.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * SIDE * SIDE:
        raise DamagedFile(f"no uint8 array (N, {3 * SIDE * SIDE}) named data in {place}")
    if not len(data):
        raise BadInput(f"no images in {place}")
    return data


def _classes(numbers: Any, count: int, labels: int, place: str) -> list[int]:
    if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number < labels for number in numbers):
        raise DamagedFile(f"class numbers other than 0 to {labels - 1} in {place}")
    if len(numbers) != count:
        raise DamagedFile(f"{count} images but {len(numbers)} labels in {place}")
    return numbers
