"""What is in a model file, ours or not: read in one child, and asked of LiteRT in another, which may crash over it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgevit import artifact as artifacts
from edgevit import record, stage
from edgevit.errors import BadInput, DamagedFile, EdgevitError
from edgevit.types import Contents, Delegate, Operators, Progress, Taken

LIMIT = 120.0
"""Seconds for each child: a model of 1 GB takes some ten."""


@dataclass(frozen=True)
class _Record:
    """All that is needed of an artifact's record, of whatever version."""

    file: str | None = None


def inspect(path: Path, picture: Path | None, dark: bool, force: bool, progress: Progress) -> Contents:
    """What is in the model file at `path`, or in that of an artifact's folder; drawn into `picture` where one is asked for.

    Raises BadInput, DamagedFile, and StageFailed where its reader crashes or does not end.
    """
    file = model_file(path)
    if picture:
        _refuse(picture, force)
    found = stage.run_within(LIMIT, "edgevit.jobs.inspect:inspect", Contents, progress, file=file).value
    if found.format == "TFLite":
        found = _delegated(found, progress)
    if picture:
        stage.run_within(LIMIT, "edgevit.jobs.inspect:draw", type(None), progress, found=found, dark=dark, out=picture)
    return found


def model_file(path: Path) -> Path:
    """The file that `path` is, or of the artifact that it is. Raises BadInput, DamagedFile."""
    if not (path / artifacts.RECORD).is_file():
        return path
    name = record.read_foreign(path / artifacts.RECORD, _Record).file
    if not name:
        raise BadInput(f"{path} holds no model", "its export failed; edgevit export makes it again")
    if len(PurePosixPath(name).parts) != 1 or name in (".", "..") or "\0" in name:
        raise DamagedFile(f"{path / artifacts.RECORD}: its file is not within it: {name[:200]}")
    return path / name


def _refuse(picture: Path, force: bool) -> None:
    """Raise BadInput where the picture cannot go."""
    if picture.suffix.lower() != ".png":
        raise BadInput(f"pictures are PNGs: {picture}", "--picture OUT.png")
    if picture.is_dir():
        raise BadInput(f"a folder: {picture}", "--picture takes the name of a file")
    if picture.exists() and not force:
        raise BadInput(f"already exists: {picture}", "--force replaces it when the new one is whole")


def _delegated(found: Contents, progress: Progress) -> Contents:
    """With what LiteRT's delegate takes; where the interpreter cannot be asked, a note says why."""
    try:
        taken = stage.run_within(LIMIT, "edgevit.jobs.inspect:taken", Taken, progress, file=Path(found.file)).value
    except EdgevitError as error:
        note = f"not known what runs on a delegate: {error.message}"
        unknown = tuple(dataclasses.replace(operator, by="unknown") for operator in found.operators)
        return dataclasses.replace(found, operators=unknown, notes=(*found.notes, note))
    delegates = (Delegate(taken.by, taken.subgraphs, taken.nodes, None),) * bool(taken.subgraphs)
    left, first = dict(taken.left), found.operators[0].where if found.operators else ""
    operators = [
        part
        for operator in found.operators
        for part in (_split(operator, left.get(operator.name, 0), taken.by) if operator.where == first else [operator])
    ]
    note = "what is delegated was asked of LiteRT on this machine; a phone's may take more or less"
    return dataclasses.replace(found, operators=tuple(operators), delegates=delegates, notes=(*found.notes, note))


def _split(operator: Operators, left: int, by: str) -> list[Operators]:
    """Those that the delegate takes, and those that it leaves."""
    left = min(left, operator.count)
    taken = dataclasses.replace(operator, count=operator.count - left, by=by)
    return [part for part in (taken, dataclasses.replace(operator, count=left)) if part.count]
