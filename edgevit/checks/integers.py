"""Whether a saved file holds the very integers that the recipe made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def absent(file: Path, matrices: dict[str, np.ndarray]) -> list[str]:
    """Names of the int8 `matrices` (out, in) that do not stand, row by row, in the model file or folder.

    Every back end stores them in this order, at most cut into the q, k and v of one matrix; so the bytes can be looked for
    without a parser that could share a converter's mistake. Integers of 4 bits stand two in a byte.
    """
    files = [file] if file.is_file() else [f for f in sorted(file.rglob("*")) if f.is_file()]
    content = b"\0".join(f.read_bytes() for f in files)
    return [name for name, matrix in matrices.items() if not _stands(matrix, content)]


def _stands(matrix: np.ndarray, content: bytes) -> bool:
    return any(_whole(form(matrix), content) for form in _forms(matrix))


def _whole(rows: np.ndarray, content: bytes) -> bool:
    if rows.tobytes() in content:
        return True
    return len(rows) % 3 == 0 and all(part.tobytes() in content for part in np.split(rows, 3))


def _forms(matrix: np.ndarray) -> list[Callable[[np.ndarray], np.ndarray]]:
    """As a file may hold them: a byte each; where they are small enough two in one, as they are or, in XNNPACK's, 8 more."""
    as_they_are: list[Callable[[np.ndarray], np.ndarray]] = [np.asarray]
    if matrix.shape[1] % 2 or not -8 <= int(matrix.min()) <= int(matrix.max()) < 8:
        return as_they_are
    return [*as_they_are, lambda rows: _paired(rows), lambda rows: _paired(rows + 8)]


def _paired(rows: np.ndarray) -> np.ndarray:
    """The first of two in the low half of a byte."""
    halves = rows.astype(np.uint8) & 0xF
    return halves[:, ::2] | halves[:, 1::2] << 4
