"""Every artifact in each of the other runtimes that may open it: a matrix, and in words what is wrong in one."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.report import words
from edgevit.types import Artifact, Outcome, Ran, Report


@dataclass(frozen=True)
class Cell:
    """How it went. `tone` is `good`, `bad`, or `idle` where nothing was run."""

    column: str
    text: str
    tone: str
    figure: str = ""


@dataclass(frozen=True)
class Line:
    artifact: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Matrix:
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def build(report: Report) -> Matrix | None:
    """None where no artifact has been run in another runtime than its own."""
    ran = [artifact for artifact in report.artifacts if artifact.runtimes]
    if not ran:
        return None
    columns = tuple(dict.fromkeys(one.runtime for artifact in ran for one in artifact.runtimes))
    wrong = [(artifact, one) for artifact in ran for one in artifact.runtimes if _tone(one) == "bad"]
    notes = tuple(words.plain(f"{a.name} in {one.runtime} {one.version}: {one.outcome.value}: {one.reason}") for a, one in wrong)
    return Matrix(tuple(map(words.plain, columns)), tuple(_line(artifact, columns) for artifact in ran), notes)


def _line(artifact: Artifact, columns: tuple[str, ...]) -> Line:
    known = {one.runtime: one for one in artifact.runtimes}
    cells = (_cell(known[name]) if name in known else Cell(name, "does not apply", "idle") for name in columns)
    return Line(words.plain(artifact.name), tuple(cells))


def _cell(ran: Ran) -> Cell:
    text = ran.outcome.value + (" (required)" if ran.required else "")
    figure = "" if ran.relative_error is None else f"error {ran.relative_error:.0e}, {ran.images} images"
    return Cell(words.plain(ran.runtime), text, _tone(ran), figure)


def _tone(ran: Ran) -> str:
    return {Outcome.PASS: "good", Outcome.SKIPPED: "idle"}.get(ran.outcome, "bad")
