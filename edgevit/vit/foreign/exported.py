"""What is recorded beside weights that were written for others. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MARKER = "edgevit.json"


@dataclass(frozen=True)
class WeightExport:
    """`edgevit.json`: whose weights these are, under whose names, and what their code does otherwise than ours."""

    format: str
    checkpoint_sha256: str
    sha256: str
    notes: tuple[str, ...]
    folder: Path = Path()
