"""The rows of a table: CSV, tab-separated or JSON lines, each with the line it stands on, so that errors can name it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgevit.errors import BadInput, DamagedFile

COMMA, TAB, LINES = (".csv",), (".tsv",), (".jsonl", ".ndjson")
SUFFIXES = (*COMMA, *TAB, *LINES)
LARGEST = 2 << 30
"""Bytes of a table; ten million rows take one."""
WHOLE = re.compile(r"-?[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True)
class Row:
    """One row: column names, in small letters, to what stands there."""

    table: Path
    line: int
    cells: Mapping[str, Any]

    def text(self, column: str) -> str:
        """The text or whole number in `column`, which must not be empty."""
        value = self.cells.get(column)
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise BadInput(f"no {column} in line {self.line} of {self.table}", "every row needs one, as text or a whole number")
        return str(value).strip()

    def number(self, column: str) -> int:
        """The class number in `column`: whole, from 0."""
        text = self.text(column)
        if not WHOLE.fullmatch(text):
            raise BadInput(f"not a class number in line {self.line} of {self.table}: {column} {text[:80]!r}")
        if int(text) < 0:
            raise BadInput(f"negative class number in line {self.line} of {self.table}: {text}", "classes count from 0")
        return int(text)

    def is_whole(self, column: str) -> bool:
        return WHOLE.fullmatch(self.text(column)) is not None


def read(table: Path) -> list[Row]:
    """All rows. Raises BadInput for a table without rows, DamagedFile, with the line, for what is no such table."""
    if table.stat().st_size > LARGEST:
        raise DamagedFile(f"larger than a table of images is: {table}")
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_json_lines(file, table) if table.suffix.lower() in LINES else _separated(file, table))
    except UnicodeDecodeError as error:
        raise DamagedFile(f"not text in UTF-8: {table}", f"byte {error.start}: {error.reason}") from error
    if not rows:
        raise BadInput(f"no rows in {table}")
    return rows


def _separated(file: IO[str], table: Path) -> Iterator[Row]:
    reader = csv.reader(file, delimiter="\t" if table.suffix.lower() in TAB else ",", strict=True)
    columns: list[str] = []
    try:
        for cells in filter(None, reader):
            if not columns:
                columns = _columns(cells, table)
            elif len(cells) != len(columns):
                raise DamagedFile(f"{len(cells)} cells under {len(columns)} columns in line {reader.line_num} of {table}")
            else:
                yield Row(table, reader.line_num, dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise DamagedFile(f"cannot read line {reader.line_num} of {table}: {error}") from error


def _columns(cells: list[str], table: Path) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    if twice := [column for column in columns if column and columns.count(column) > 1]:
        raise DamagedFile(f"column {twice[0]} is twice in {table}")
    return columns


def _json_lines(file: IO[str], table: Path) -> Iterator[Row]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DamagedFile(f"not JSON in line {number} of {table}", str(error)) from error
        if not isinstance(record, dict):
            raise DamagedFile(f"not an object of JSON in line {number} of {table}", 'expected {"file": ..., "label": ...}')
        yield Row(table, number, dict(zip(_columns(list(record), table), record.values(), strict=True)))
