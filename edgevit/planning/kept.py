"""What a plan has done so far, in its folder: whoever is interrupted goes on from there.

Each file and each measurement stands under the sha256 of all that it depends on, and is written whole or not at all. What is
damaged counts as not there, and is done again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from edgevit import folder, record
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import BenchRules, Candidate, Converted, Measured

FILES, MEASURED = "files", "measured"
PLAN, PICTURE = "plan.json", "plan.png"
RECORD = "converted.json"


@dataclass(frozen=True)
class Kept:
    """The folder of a plan. `identities`, by target: what a file depends on besides its candidate."""

    folder: Path
    identities: dict[str, str]

    def place(self, candidate: Candidate) -> Path:
        """The folder of its file."""
        return self.folder / FILES / self._digest(candidate)

    def converted(self, candidate: Candidate) -> Converted | None:
        """Its file, where that is there and whole."""
        place = self.place(candidate)
        try:
            found = record.read(place / RECORD, Converted)
            file = place / Path(found.file).name
            whole = found.candidate == candidate and bool(found.file) and folder.sha256(file) == found.sha256
        except (DamagedFile, OSError):
            return None
        return found if whole else None

    def measured(self, candidate: Candidate, device: str, rules: BenchRules) -> Measured | None:
        try:
            found = record.read(self._file(candidate, device, rules), Measured)
        except DamagedFile:
            return None
        return found if found.candidate == candidate and found.p50_ms and found.p50_ms > 0 and found.bytes > 0 else None

    def keep(self, measured: Measured, device: str, rules: BenchRules) -> None:
        file = self._file(measured.candidate, device, rules)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            record.write(partial, measured)
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)

    def _file(self, candidate: Candidate, device: str, rules: BenchRules) -> Path:
        return self.folder / MEASURED / f"{self._digest(candidate, device, rules)}.json"

    def _digest(self, candidate: Candidate, *more: object) -> str:
        parts = record.encode([self.identities[candidate.target], record.builtins(candidate), *map(record.builtins, more)])
        return hashlib.sha256(parts).hexdigest()[:32]


def refuse(out: Path, force: bool) -> None:
    """Raise BadInput where `out` is no folder, holds what no plan made, or a plan that is finished."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"not a folder: {out}", "choose another --out")
    inside = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.exists() else []
    if strangers := [name for name in inside if name not in (FILES, MEASURED, PLAN, PICTURE)]:
        raise BadInput(f"{out} holds more than a plan: {', '.join(strangers[:3])}", "choose another --out")
    if PLAN in inside and not force:
        raise BadInput(f"already exists: {out / PLAN}", "--force makes it anew, of what was measured for it and what is lacking")
