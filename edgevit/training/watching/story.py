"""The story of a run: one JSON line per epoch in `metrics.jsonl`, always whole."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from edgevit.errors import DamagedFile

LINES = "metrics.jsonl"
LARGEST = 64 << 20
"""Bytes; no story of ours comes near it."""


class Story:
    """Rows after epoch `keep` belong to a future that was interrupted; they are dropped when the run goes on."""

    def __init__(self, run: Path, keep: int) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self.path = run / LINES
        self.rows = [row for row in read(self.path) if row.get("epoch", math.inf) <= keep]

    def row(self, metrics: dict[str, float]) -> None:
        self.rows.append(metrics)
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        os.replace(partial, self.path)


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a `metrics.jsonl`; of a missing one, none. Raises DamagedFile where they are none."""
    if not path.exists():
        return []
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("too large")
        return [_row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: no lines of metrics", "edgevit train did not make it") from error


def _row(found: object) -> dict[str, float]:
    if not isinstance(found, dict) or any(type(value) not in (int, float) for value in found.values()):
        raise ValueError("no metrics by name")
    return found
