"""How good the checkpoint is, in words and tables: the figures that every artifact is held to."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.report import words
from edgevit.types import ClassScore, EvalResult

MOST = 10
"""Rows of a table: the weakest classes, the most confused pairs."""


@dataclass(frozen=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True)
class Ranking:
    """A small table, its worst row first."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Evaluation:
    facts: tuple[Fact, ...]
    rankings: tuple[Ranking, ...]


def build(found: EvalResult) -> Evaluation:
    return Evaluation(_facts(found), tuple(r for r in (_classes(found), _pairs(found)) if r.rows))


def _facts(found: EvalResult) -> tuple[Fact, ...]:
    interval = f"95 % interval {words.percent(found.low)} to {words.percent(found.high)}"
    skipped = words.counted(len(found.skipped), "unreadable image") + " left out" if found.skipped else ""
    return (
        Fact("Top-1", f"{words.percent(found.top1)} of {words.counted(found.images, 'image')} ({interval})"),
        Fact("Top-5", words.missing("always right with up to five classes") if found.top5 is None else words.percent(found.top5)),
        Fact("Loss", f"{found.loss:.4f} (mean cross-entropy)"),
        Fact("Expected calibration error", _calibration(found)),
        *((Fact("Skipped", skipped),) if skipped else ()),
    )


def _calibration(found: EvalResult) -> str:
    if found.ece is None:
        return words.missing("the record holds none")
    return f"{100 * found.ece:.2f} points, over {len(found.bins)} bins of confidence"


def _classes(found: EvalResult) -> Ranking:
    """The classes with the least recall; those without an image have none."""
    counted = [score for score in found.per_class if score.recall is not None]
    weakest = sorted(counted, key=lambda score: (score.recall or 0.0, -score.images))[:MOST]
    some = "" if len(weakest) == len(found.per_class) else f", the weakest {len(weakest)} of {len(found.per_class):,}"
    head = ("Class", "Images", "Right", "Recall", "Precision")
    return Ranking(f"Class by class{some}", head, tuple(_class(score) for score in weakest))


def _class(score: ClassScore) -> tuple[str, ...]:
    precision = "never answered" if score.precision is None else words.percent(score.precision)
    recall = words.percent(score.recall or 0.0)
    return words.plain(score.label), f"{score.images:,}", f"{score.right:,}", recall, precision


def _pairs(found: EvalResult) -> Ranking:
    rows = tuple((words.plain(p.truth), words.plain(p.answer), f"{p.images:,}") for p in found.confused[:MOST])
    some = "" if len(rows) == len(found.confused) else f", the first {len(rows)} of {len(found.confused):,} pairs"
    return Ranking(f"Most confused{some}", ("Truth", "Answer", "Images"), rows)
