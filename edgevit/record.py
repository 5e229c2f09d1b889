"""Nouns to JSON and back, strictly: an unknown type or a missing field is an error that names its place."""

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


def encode(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2) + b"\n"


def decode(data: bytes | str, kind: type[T]) -> T:
    """Raise `msgspec.ValidationError` or `msgspec.DecodeError` where `data` is not a `kind`."""
    return msgspec.json.decode(data, type=kind, dec_hook=_rich)


def builtins(value: object) -> Any:
    """`value` as dictionaries, lists, text and numbers."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def read(path: Path, kind: type[T]) -> T:
    """The record in `path`; one that knows its `folder` learns it. Raises DamagedFile."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise DamagedFile(f"cannot read {path}: {(error.strerror or '').lower()}") from error
    if len(data) > LARGEST:
        raise DamagedFile(f"{path}: larger than {LARGEST >> 20} MiB, no file of edgevit's")
    try:
        value = decode(data, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: {error}", "it was altered, or made by another version of edgevit") from error
    names = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    return dataclasses.replace(value, folder=path.parent) if "folder" in names else value  # type: ignore[type-var]


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
