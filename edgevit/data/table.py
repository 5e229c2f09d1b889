"""A table of image files and their classes: .csv, .tsv or .jsonl.

Paths stand in the column `file`, `path`, `image`, `filename` or `file_name`. They start from the table's folder and stay in it;
only an absolute path leads out of it.
Class numbers stand in `index`, `label_index` or `class_index`, names in `class_name` or `category`. `label` and `class` hold
numbers where every row has a whole number there, and names otherwise. Where there are numbers they decide, and names name them:
those of the table, or of a `classes.csv` beside it.
`split`, where there is one, says train, val or test; val is held out, and test where there is no val.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevit.data import classes, rows
from edgevit.data.classes import require_no_gap, the_one
from edgevit.data.dataset import Dataset, Divided, Images, Undivided, divided
from edgevit.data.decoding import content_of, open_image, stamp_of
from edgevit.data.rows import Row
from edgevit.errors import BadInput, DamagedFile

PATHS = ("file", "path", "image", "filename", "file_name")
NUMBERS = classes.NUMBERS
EITHER = ("label", "class")
NAMES = ("class_name", "category")
SPLIT = "split"
SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
CLASSES = "classes.csv"
NATIVE_SIZE = 224


@dataclass(frozen=True)
class _Columns:
    """Where the path stands, and the number or name of the class, or both."""

    path: str
    number: str | None
    name: str | None


@dataclass(frozen=True)
class _Classes:
    """The class of every row, and what the classes are called."""

    of_rows: list[int]
    labels: tuple[str, ...]
    named: bool = True


def recognises(spec: str) -> bool:
    return Path(spec).is_file() and Path(spec).suffix.lower() in rows.SUFFIXES


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    """Raises BadInput, with the line, for a row without a path or class, numbers with gaps, and a path that leaves the folder.

    The images themselves are looked for when they are opened.
    """
    table = Path(spec)
    found = rows.read(table)
    columns = _columns(found, table)
    known = _classes(found, columns, table)
    names = [row.text(columns.path) for row in found]
    images = _images(names, known.of_rows, _files(found, columns.path, table), found)
    return Dataset(spec, known.labels, _parts(images, found, seed, held_out), NATIVE_SIZE, photos=True, named=known.named)


def _columns(found: list[Row], table: Path) -> _Columns:
    first = found[0]
    whole = [column for column in EITHER if column in first.cells and all(row.is_whole(column) for row in found)]
    path = the_one(first, PATHS, "paths")
    number = the_one(first, (*NUMBERS, *whole), "class numbers")
    name = the_one(first, [column for column in (*EITHER, *NAMES) if column not in whole], "class names")
    if path is None:
        raise BadInput(f"no column of paths in {table}: {', '.join(first.cells)}", f"expected one of: {', '.join(PATHS)}")
    if number is None and name is None:
        expected = ", ".join((*NUMBERS, *EITHER, *NAMES))
        raise BadInput(f"no column of classes in {table}: {', '.join(first.cells)}", f"expected one of: {expected}")
    return _Columns(path, number, name)


def _classes(found: list[Row], columns: _Columns, table: Path) -> _Classes:
    if columns.number is None:
        assert columns.name
        names = [row.text(columns.name) for row in found]
        labels = tuple(sorted(set(names)))
        place = {label: number for number, label in enumerate(labels)}
        return _Classes([place[name] for name in names], labels)
    numbers = [row.number(columns.number) for row in found]
    if columns.name:
        return _Classes(numbers, _names(found, numbers, columns.name))
    if (table.parent / CLASSES).is_file():
        return _Classes(numbers, _names_beside(found, numbers, table.parent / CLASSES))
    require_no_gap(dict(zip(numbers, found, strict=True)))
    return _Classes(numbers, tuple(str(number) for number in range(max(numbers) + 1)), named=False)


def _names(found: list[Row], numbers: list[int], column: str) -> tuple[str, ...]:
    """The name that the rows give to each number: one name a number, and one number a name."""
    names: dict[int, str] = {}
    places: dict[str, int] = {}
    for row, number in zip(found, numbers, strict=True):
        name = row.text(column)
        if names.setdefault(number, name) != name:
            raise BadInput(f"class {number} is {names[number]} and {name} in {row.table}: line {row.line}")
        if places.setdefault(name, number) != number:
            raise BadInput(f"class {name} is {places[name]} and {number} in {row.table}: line {row.line}")
    require_no_gap(dict(zip(numbers, found, strict=True)))
    return tuple(names[number] for number in range(len(names)))


def _names_beside(found: list[Row], numbers: list[int], table: Path) -> tuple[str, ...]:
    """The names in `classes.csv`, which must know every number of the rows."""
    names = classes.read(table)
    for row, number in zip(found, numbers, strict=True):
        if number >= len(names):
            raise BadInput(f"class {number} in line {row.line} of {row.table} is not in {table}")
    return names


def _parts(images: Images, found: list[Row], seed: int, held_out: float) -> Divided | Undivided:
    if not any(SPLIT in row.cells for row in found):
        return Undivided(images, seed, held_out)
    members: dict[str, list[int]] = {}
    for i, row in enumerate(found):
        said = row.text(SPLIT).lower()
        if said not in SPLITS:
            raise BadInput(f"unknown split in line {row.line} of {row.table}: {said}", f"known: {', '.join(SPLITS)}")
        members.setdefault(SPLITS[said], []).append(i)
    train, val, test = (images.take(members[name]) if name in members else None for name in ("train", "val", "test"))
    return divided(train, val, test, seed, held_out)


def _files(found: list[Row], column: str, table: Path) -> list[Path]:
    """The file of each row. Every path is checked now, and no file is touched."""
    files = [_file(row, column, table.parent) for row in found]
    seen: dict[Path, Row] = {}
    for file, row in zip(files, found, strict=True):
        if file in seen:
            first = seen[file].line
            raise BadInput(f"lines {first} and {row.line} of {table} are the same image: {file}", "an image counts once")
        seen[file] = row
    return files


def _images(names: list[str], of_rows: list[int], files: list[Path], found: list[Row]) -> Images:
    def there(i: int) -> Path:
        if not os.path.isfile(files[i]):  # nor a pipe, which would be waited for
            raise DamagedFile(f"no such image: {files[i]}: line {found[i].line} of {found[i].table}")
        return files[i]

    return Images(
        names,
        np.array(of_rows),
        lambda i: open_image(there(i)),
        lambda i: content_of(there(i)),
        lambda i: stamp_of(files[i]),
    )


def _file(row: Row, column: str, folder: Path) -> Path:
    path = os.path.normpath(row.text(column))
    if path.split(os.sep)[0] == os.pardir:
        hint = "put the table beside or above its images, or write absolute paths"
        raise BadInput(f"a path out of the table's folder in line {row.line} of {row.table}: {path}", hint)
    return folder / path
