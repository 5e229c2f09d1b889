"""The arrays in an .npz of numpy: what each one is, before it is unpacked, and then its values.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Arrays of objects, which are pickles, are never
read, and no more is unpacked than the bytes of the file can hold.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from edgevit.errors import DamagedFile

LARGEST = 8 << 30
"""Bytes of one array, above which a file is not believed."""
DEFLATE = 1032
"""No zip packs more bytes into one (zlib's own limit), so a directory that promises more of its file lies."""
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST = 1000
"""Arrays in a file."""


@dataclass(frozen=True)
class Header:
    """An array as its header announces it."""

    shape: tuple[int, ...]
    dtype: np.dtype


def headers(path: Path) -> dict[str, Header]:
    """Every array of the file by its name. Raises DamagedFile where a size cannot be true, or nothing can be read."""
    found: dict[str, Header] = {}
    with _archive(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        if len(members) > MOST:
            raise DamagedFile(f"{len(members)} arrays in {path}")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in found:
                raise DamagedFile(f"array {name!r} is twice in {path}")
            found[name] = _header(archive, member, path)
    return found


def read(path: Path, name: str) -> np.ndarray:
    """The array `name`, which `headers` found and which holds no objects."""
    with _archive(path) as archive, archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Header:
    if member.compress_type not in PACKED:
        raise DamagedFile(f"packed in a way that numpy never does: {member.filename!r} of {path}", "save it by numpy.savez")
    if member.file_size > min(LARGEST, DEFLATE * path.stat().st_size):
        raise DamagedFile(f"{path} cannot hold the {member.file_size} bytes that it promises: {member.filename!r}")
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise DamagedFile(f"npy of version {version[0]}.{version[1]} in {path}: {member.filename!r}", "1.0 and 2.0 are read")
        shape, _, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
        if dtype.kind in "US" and not dtype.itemsize:
            raise DamagedFile(f"text of no letters: {member.filename!r} of {path}")
        promised = file.tell() + math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and (min(shape, default=0) < 0 or promised != member.file_size):
            raise DamagedFile(f"{member.filename!r} of {path} holds {member.file_size} bytes where its header says {promised}")
    return Header(shape, dtype)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The open file, with all that zipfile and numpy raise for cut, altered, encrypted and invented ones as DamagedFile."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, tokenize.TokenError, EOFError, OSError) as error:
        raise DamagedFile(f"cut or damaged: {path}", _line(error)) from error
    except (ValueError, TypeError, KeyError, SyntaxError, RuntimeError, MemoryError, OverflowError) as error:
        raise DamagedFile(f"not arrays of numpy: {path}", _line(error)) from error


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
