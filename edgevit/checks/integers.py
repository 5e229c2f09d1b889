"""Whether a saved file holds the very integers that the recipe made."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def absent(file: Path, matrices: dict[str, np.ndarray]) -> list[str]:
    """Names of the int8 `matrices` (out, in) that do not stand, row by row, in the model file or folder.

    Every back end stores them in this order, at most cut into the q, k and v of one matrix; so the bytes can be looked for
    without a parser that could share a converter's mistake.
    """
    files = [file] if file.is_file() else [f for f in sorted(file.rglob("*")) if f.is_file()]
    content = b"\0".join(f.read_bytes() for f in files)
    return [name for name, matrix in matrices.items() if not _stands(matrix, content)]


def _stands(matrix: np.ndarray, content: bytes) -> bool:
    if matrix.tobytes() in content:
        return True
    return len(matrix) % 3 == 0 and all(part.tobytes() in content for part in np.split(matrix, 3))
