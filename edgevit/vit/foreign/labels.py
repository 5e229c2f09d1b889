"""The names of the classes, from a file that the user gives: CSV with index and name, one name per line, or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from edgevit.errors import BadInput, DamagedFile

LARGEST = 64 << 20
"""Bytes of a file of names: 21,843 of them take half a megabyte."""
FORMS = "a CSV file with the columns index and name, a text file with one name per line, or JSON: a list, or names by index"


def read_labels(file: Path) -> tuple[str, ...]:
    """The names in the order of their index, which runs from 0 without a gap. Raises BadInput, DamagedFile."""
    text = _text(file)
    if file.suffix.lower() == ".csv":
        return _by_index(file, _rows(file, text))
    if file.suffix.lower() == ".json":
        return _by_index(file, _pairs(file, text))
    names = text.splitlines()
    while names and not names[-1].strip():
        names.pop()
    return _by_index(file, list(enumerate(names)))


def _text(file: Path) -> str:
    if not file.is_file():
        raise BadInput(f"no such file of labels: {file}", f"it is {FORMS}")
    if file.stat().st_size > LARGEST:
        raise BadInput(f"{file}: larger than {LARGEST >> 20} MiB, no file of labels", f"it is {FORMS}")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{file}: no UTF-8 text ({error.reason})", f"it is {FORMS}") from error


def _rows(file: Path, text: str) -> list[tuple[object, object]]:
    try:
        rows = csv.DictReader(text.splitlines(), strict=True)
        if not {"index", "name"} <= set(rows.fieldnames or ()):
            raise BadInput(f"{file}: no columns index and name", f"it is {FORMS}")
        return [(row["index"], row["name"]) for row in rows]
    except csv.Error as error:
        raise DamagedFile(f"{file}: {error}", f"it is {FORMS}") from error


def _pairs(file: Path, text: str) -> list[tuple[object, object]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{file}: no JSON ({error})", f"it is {FORMS}") from error
    if not isinstance(value, list | dict):
        raise BadInput(f"{file}: no list and no names by index", f"it is {FORMS}")
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))


def _writable(name: str) -> bool:
    """Half of a surrogate pair, which JSON may escape, is no character by itself."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_order(names: Mapping[str, str] | None, where: str) -> tuple[str, ...] | None:
    """The names that a config gives by index. Raises DamagedFile where they are not numbered from 0."""
    if names is None:
        return None
    if set(names) != {str(n) for n in range(len(names))}:
        raise DamagedFile(f"{where} does not number the classes from 0")
    return tuple(names[str(n)] for n in range(len(names)))


def _by_index(file: Path, pairs: list[tuple[object, object]]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for index, name in pairs:
        digits = str(index).strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10) or int(digits) in names:
            raise BadInput(f"{file}: not a number of its own: {index}", "the index of each class stands once, from 0")
        if not isinstance(name, str) or not name.strip():
            raise BadInput(f"{file}: class {digits} has no name")
        if not _writable(name):
            raise DamagedFile(f"{file}: the name of class {digits} is no text that UTF-8 can write")
        names[int(digits)] = name.strip()
    if sorted(names) != list(range(len(names))):
        missing = next(n for n in range(len(names)) if n not in names)
        raise BadInput(f"{file}: no class {missing}, among {len(names)}", "the indices run from 0 without a gap")
    return tuple(names[n] for n in range(len(names)))
