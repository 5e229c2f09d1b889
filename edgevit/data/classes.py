"""The names of classes by their number, as a table beside the images gives them: `classes.csv` with `index` and `name`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edgevit.data import rows
from edgevit.data.rows import Row
from edgevit.errors import BadInput

NUMBERS = ("index", "label_index", "class_index")
NAMES = ("name", "class_name", "label", "class", "category")


def read(table: Path) -> tuple[str, ...]:
    """The name of each class from 0 on. Raises BadInput, with the line, for a number that is missing, twice or none.

    Two classes may share a name, as ImageNet's two kinds of crane do.
    """
    found = rows.read(table)
    number, name = the_one(found[0], NUMBERS, "class numbers"), the_one(found[0], NAMES, "names")
    if not (number and name):
        absent = f"{', '.join(NAMES if number else NUMBERS)}"
        raise BadInput(f"no column of {'names' if number else 'class numbers'} in {table}", f"expected one of: {absent}")
    names: dict[int, str] = {}
    for row in found:
        key = row.number(number)
        if key in names:
            raise BadInput(f"class {key} is twice in {table}: line {row.line}")
        names[key] = row.text(name)
    require_no_gap({row.number(number): row for row in found})
    return tuple(names[key] for key in range(len(names)))


def the_one(row: Row, known: Collection[str], what: str) -> str | None:
    """The column of `row` that is among `known`. Raises BadInput where there is more than one."""
    found = [column for column in row.cells if column in known]
    if len(found) > 1:
        raise BadInput(f"more than one column of {what} in {row.table}: {', '.join(found)}", "rename all but one")
    return found[0] if found else None


def require_no_gap(numbers: dict[int, Row]) -> None:
    """Raise BadInput, with a line, where the class numbers leave one out."""
    for expected, number in enumerate(sorted(numbers)):
        if number != expected:
            row = numbers[number]
            hint = "numbers count from 0 without gaps; a classes.csv with index and name beside the images may name them all"
            raise BadInput(f"no class {expected} in {row.table}, but class {number} in line {row.line}", hint)
