"""The limits of a road beside their figures."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit import held
from edgevit.report import words
from edgevit.types import Held, Report

TONES = {True: "good", False: "bad", None: "idle"}


@dataclass(frozen=True)
class Figure:
    """ "31.2 of 30", and `good`, `bad`, or `idle` where it was not measured and need not be. Both are empty without a limit."""

    column: str
    text: str
    tone: str


@dataclass(frozen=True)
class Budget:
    artifact: str
    place: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Budgets:
    """`tone` is `bad` where a limit is broken, `idle` where one was not measured."""

    tone: str
    headline: str
    columns: tuple[str, ...]
    rows: tuple[Budget, ...]
    broken: tuple[str, ...]


def build(report: Report) -> Budgets | None:
    """None where nobody set a limit."""
    if not report.held:
        return None
    columns, rows = held.table(report.held)
    named = tuple(map(words.plain, columns))
    broken = tuple(words.plain(held.words(one)) for one in report.held if one.holds is False)
    unknown = sum(one.holds is None for one in report.held)
    tone = "bad" if broken else "idle" if unknown else "good"
    return Budgets(tone, _headline(report, len(broken), unknown), named, tuple(_row(*row, named) for row in rows), broken)


def _headline(report: Report, broken: int, unknown: int) -> str:
    every = words.counted(len(report.held), "limit")
    said = f"{broken} of {every} broken" if broken else f"{len(report.held) - unknown} of {every} held, none broken"
    return f"{said}, {unknown} not measured" if unknown else said


def _row(artifact: str, place: str, found: list[Held | None], columns: tuple[str, ...]) -> Budget:
    return Budget(words.plain(artifact), words.plain(place), tuple(map(_figure, columns, found)))


def _figure(column: str, one: Held | None) -> Figure:
    return Figure(column, words.plain(held.cell(one)), TONES[one.holds]) if one else Figure(column, "", "")
