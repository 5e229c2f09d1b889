"""Zip archives of arrays (`.npz`), read without numpy's own opener: it would trust what a hostile header says.

An archive says how large each member becomes, and an array's header how many values it has. The first is bounded by the size of
the file, and no more than that is ever unpacked; the second is compared with the bytes that came out.
"""

from __future__ import annotations

import io
import math
import mmap
import zipfile
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
"""Most that an archive has, and most tensors of any weight file: models of 1024 blocks have a fifth of them."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
CHUNK = 1 << 20
DIMENSIONS = 32
"""Most that an array has."""
HEADER = 10_000
"""Most bytes of an array's header."""
BRAIN = np.dtype("V2")
"""How numpy stores bfloat16, which it does not know."""


def require_honest_zip(file: Path) -> None:
    """Raise DamagedFile for an archive that would become far larger than it is. Other files are left alone."""
    if zipfile.is_zipfile(file):
        with _archive(file) as archive:
            _members(file, archive)


def holds(file: Path, word: bytes) -> bool:
    """Whether the pickle of a zip archive of torch's, or any part of a file that is no zip, has `word` in it."""
    if not zipfile.is_zipfile(file):
        if file.stat().st_size == 0:
            return False
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(word) >= 0
    with _archive(file) as archive:
        pickles = (member for member in archive.infolist() if member.filename.endswith(".pkl"))
        return any(word in _member(file, archive, member) for member in pickles)


def read_npz(file: Path) -> dict[str, Tensor]:
    """All arrays of an npz by name. Raises DamagedFile for one of objects, a cut one, and a zip that is no npz or a bomb."""
    with _archive(file) as archive:
        return {_name(file, member): _array(file, archive, member) for member in _members(file, archive)}


def _archive(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (FileNotFoundError, PermissionError, IsADirectoryError):  # what the place refuses, rather than the file
        raise
    except Exception as error:  # it raises whatever it trips over in a malformed file
        raise DamagedFile(f"{file}: no whole zip archive ({_line(error)})", "an npz is one, and holds arrays alone") from error


def _members(file: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = {member.filename for member in members}
    if len(members) > MEMBERS or len(names) < len(members):
        raise DamagedFile(f"{file}: {len(members)} members with {len(names)} names, no archive of weights")
    packed = next((member for member in members if member.compress_type not in METHODS), None)
    if packed:
        hint = "an archive of weights stores its members or deflates them: nothing bounds what the other methods unpack to"
        raise DamagedFile(f"{file}: {packed.filename} is packed by method {packed.compress_type}", hint)
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
    data = _member(file, archive, member)
    stream = io.BytesIO(data)
    try:
        shape, fortran, kind = _header(stream)
    except Exception as error:  # numpy's reader of headers raises whatever it trips over
        raise DamagedFile(f"{file}: {member.filename} is no whole array ({_line(error)})") from error
    if kind.hasobject:
        hint = "such an array is a pickle, which can run any code; edgevit opens none"
        raise DamagedFile(f"{file}: {_name(file, member)} is an array of objects", hint)
    if kind != BRAIN and (kind.kind not in "fiub" or kind.itemsize > 8):
        raise DamagedFile(f"{file}: {_name(file, member)} has type {kind}, and is no array of numbers")
    if not _possible(shape) or math.prod(shape) * kind.itemsize != len(data) - stream.tell():
        raise DamagedFile(f"{file}: {_name(file, member)} has shape {str(shape)[:160]}, and not so many values")
    try:
        values = np.frombuffer(data, kind, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
    except (ValueError, OverflowError) as error:
        raise DamagedFile(f"{file}: {_name(file, member)} has shape {str(shape)[:160]} ({error})") from error
    return _tensor(values)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]


def _member(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return _unpacked(archive, member)
    except Exception as error:  # zipfile and zlib raise whatever they trip over
        raise DamagedFile(f"{file}: {member.filename} is not whole ({_line(error)})") from error


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """What a member holds, never more than the size that was added up: asked for it all, zipfile unpacks first and cuts then."""
    data = bytearray()
    with archive.open(member) as stream:
        while len(data) < member.file_size:
            chunk = stream.read(min(CHUNK, member.file_size - len(data)))
            if not chunk:
                raise ValueError(f"it has {len(data)} bytes, where the archive says {member.file_size}")
            data += chunk
    return bytes(data)


def _possible(shape: object) -> bool:
    """Whether each size is a plain number that is not negative: two negative ones multiply to a size that looks right."""
    return isinstance(shape, tuple) and len(shape) <= DIMENSIONS and all(type(n) is int and 0 <= n < 1 << 62 for n in shape)


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
