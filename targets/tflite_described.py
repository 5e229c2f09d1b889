"""What a TFLite file says of itself: the labels and the preprocessing in the zip that stands behind it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec

from edgevit import record
from edgevit.errors import DamagedFile
from edgevit.said import LABELS, PREPROCESS
from edgevit.types import Described, Preprocess

LARGEST = 16 << 20
"""Bytes of either; a million labels have so many."""


def described(file: Path) -> Described | None:
    """What edgevit's own files hold; None of one with nothing of that behind it. Raises DamagedFile for what it never writes."""
    if not zipfile.is_zipfile(file):
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            if PREPROCESS not in names:
                return None
            labels = _text(archive, LABELS).removesuffix("\n").split("\n") if LABELS in names else None
            return Described(
                None if labels is None else tuple(labels), record.decode(_text(archive, PREPROCESS), Preprocess), None, {}
            )
    except (zipfile.BadZipFile, msgspec.MsgspecError, ValueError, RuntimeError, OSError, EOFError, NotImplementedError) as error:
        raise DamagedFile(f"{file}: what stands behind the model is not what edgevit writes there: {error}") from error


def _text(archive: zipfile.ZipFile, name: str) -> str:
    if archive.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} has more than {LARGEST >> 20} MiB")
    return archive.read(name).decode("utf-8")
