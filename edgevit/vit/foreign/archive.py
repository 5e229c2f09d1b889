"""Zip archives of arrays (`.npz`), read without numpy's own opener: it would trust what a hostile header says.

An archive says how large each member becomes, and an array's header how many values it has. Both are compared with the bytes that
are there before any of them is used.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgevit.errors import DamagedFile

EXPANSION = 64
"""Most times its own size that an archive may become. Weights hardly shrink; zeros shrink a thousandfold."""
FREE = 64 << 20
"""Bytes that any archive may become."""
MEMBERS = 100_000
HEADER = 10_000
"""Most bytes of an array's header."""
BRAIN = np.dtype("V2")
"""How numpy stores bfloat16, which it does not know."""


def require_honest_zip(file: Path) -> None:
    """Raise DamagedFile for an archive that would become far larger than it is. Other files are left alone."""
    if zipfile.is_zipfile(file):
        with _archive(file) as archive:
            _members(file, archive)


def read_npz(file: Path) -> dict[str, Tensor]:
    """All arrays of an npz by name. Raises DamagedFile for one of objects, a cut one, and a zip that is no npz or a bomb."""
    with _archive(file) as archive:
        return {_name(file, member): _array(file, archive, member) for member in _members(file, archive)}


def _archive(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, NotImplementedError) as error:
        raise DamagedFile(f"{file}: no whole zip archive ({error})", "an npz is one, and holds arrays alone") from error


def _members(file: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = {member.filename for member in members}
    if len(members) > MEMBERS or len(names) < len(members):
        raise DamagedFile(f"{file}: {len(members)} members with {len(names)} names, no archive of weights")
    becomes, most = sum(member.file_size for member in members), max(FREE, EXPANSION * file.stat().st_size)
    if becomes > most:
        raise DamagedFile(
            f"{file}: would become {becomes >> 20} MiB, {becomes // file.stat().st_size} times its size: a zip bomb"
        )
    return members


def _name(file: Path, member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise DamagedFile(f"{file}: {member.filename} is no array", "an npz holds arrays alone")
    return member.filename.removesuffix(".npy")


def _array(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
    try:
        data = archive.read(member)  # never more than the size that was added up
        stream = io.BytesIO(data)
        shape, fortran, kind = _header(stream)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
        ValueError,
        SyntaxError,
        TypeError,
    ) as error:
        raise DamagedFile(f"{file}: {member.filename} is no whole array ({error})") from error
    if kind.hasobject:
        hint = "such an array is a pickle, which can run any code; edgevit opens none"
        raise DamagedFile(f"{file}: {_name(file, member)} is an array of objects", hint)
    if math.prod(shape) * kind.itemsize != len(data) - stream.tell():
        raise DamagedFile(f"{file}: {_name(file, member)} has shape {shape}, and not so many values")
    if kind != BRAIN and (kind.kind not in "fiub" or kind.itemsize > 8):
        raise DamagedFile(f"{file}: {_name(file, member)} has type {kind}, and is no array of numbers")
    values = np.frombuffer(data, kind, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
    return _tensor(values)


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, column order and type. Both versions are read as text that is evaluated to constants alone."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the npy format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream, max_header_size=HEADER)  # type: ignore[call-arg]


def _tensor(values: np.ndarray) -> Tensor:
    if values.dtype == BRAIN:
        return torch.from_numpy(values.view(np.uint16).astype(np.int32) << 16).view(torch.float32)
    native = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="))  # a copy: what a buffer shows may not be written
    return torch.from_numpy(native)
