"""Nouns to JSON and back, strictly: an unknown type, a missing field or an unknown one is an error that names its place."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgevit.errors import DamagedFile

T = TypeVar("T")
LARGEST = 64 << 20
"""Bytes; no record of ours comes near it, and a hostile file may."""
OTHER = "it was altered, or made by another version of edgevit"
_NOWHERE = object()


def encode(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2) + b"\n"


def decode(data: bytes | str, kind: type[T]) -> T:
    """Raise `msgspec.ValidationError` or `msgspec.DecodeError` where `data` is not a `kind`."""
    return msgspec.json.decode(data, type=kind, dec_hook=_rich)


def builtins(value: object) -> Any:
    """`value` as dictionaries, lists, text and numbers."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def read(path: Path, kind: type[T]) -> T:
    """The record in `path`; one that knows its `folder` learns it. Raises DamagedFile.

    A field that `kind` does not have is refused: "means" for "mean" would be read as the default, without a word.
    """
    data, value = _read(path, kind)
    try:
        whole = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # of a field that nobody has read yet
        raise DamagedFile(f"{path}: {error}", OTHER) from error
    if unknown := _unknown(whole, builtins(value)):
        raise DamagedFile(f"{path}: unknown field {unknown}", OTHER)
    names = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    return dataclasses.replace(value, folder=path.parent) if "folder" in names else value  # type: ignore[type-var]


def read_foreign(path: Path, kind: type[T]) -> T:
    """What `kind` knows of a file that others make, and that may hold more. Raises DamagedFile."""
    return _read(path, kind)[1]


def _read(path: Path, kind: type[T]) -> tuple[bytes, T]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise DamagedFile(f"cannot read {path}: {(error.strerror or '').lower()}") from error
    if len(data) > LARGEST:
        raise DamagedFile(f"{path}: larger than {LARGEST >> 20} MiB, no file of edgevit's")
    try:
        return data, decode(data, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: {error}", OTHER) from error


def _unknown(raw: Any, known: Any, place: str = "$") -> str:
    """The place of the first key of `raw` that `known`, the same record once more, does not have."""
    if isinstance(raw, dict) and isinstance(known, dict):
        pairs = ((f"{place}.{key}", raw[key], known.get(key, _NOWHERE)) for key in raw)
    elif isinstance(raw, list) and isinstance(known, list | tuple):
        pairs = ((f"{place}[{i}]", *pair) for i, pair in enumerate(zip(raw, known, strict=True)))
    else:
        return ""
    return next((found for key, a, b in pairs if (found := key if b is _NOWHERE else _unknown(a, b, key))), "")


def write(path: Path, value: object) -> None:
    """Write `value` to `path`, without its `folder`: a folder may be moved. Synced before it returns."""
    plain = builtins(value)
    plain.pop("folder", None)
    with path.open("wb") as file:
        file.write(encode(plain))
        file.flush()
        os.fsync(file.fileno())


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value)} is no part of a record")


def _rich(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind} is no part of a record")
