"""How much of each artifact its back end took, and what that costs, where a profile was kept."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.report import table, verdict, words
from edgevit.types import Artifact, OperatorTime, Profile, Report

MOST = 12
"""Rows of one profile; the rest is summed up."""
HEAD = ("Operator (how many)", "Time (share)", "By")
BLOCKS = ("Block (operators)", "Time (share)")


@dataclass(frozen=True)
class Cost:
    """One artifact: how much was taken, in words, and the time by kind of operator, longest first, or why there is none."""

    artifact: str
    taken: str
    said: str
    rows: tuple[tuple[str, ...], ...] = ()
    blocks: tuple[tuple[str, ...], ...] = ()
    """The same time by Transformer block, in their order, where the trace tells them apart."""


def build(report: Report) -> tuple[Cost, ...]:
    made = [artifact for artifact in report.artifacts if artifact.outcome not in verdict.NOTHING_MADE]
    return tuple(_cost(artifact, report.profiles.get(artifact.name)) for artifact in made)


def _cost(artifact: Artifact, profile: Profile | None) -> Cost:
    name, taken = words.plain(artifact.name), ", ".join(line.text for line in table.delegation(artifact))
    if profile is None:
        return Cost(name, taken, words.missing(why_not(artifact)))
    return Cost(name, taken, _said(profile), _rows(profile), _blocks(profile))


def why_not(artifact: Artifact) -> str:
    """Why there is no profile: who could make one is told how."""
    if artifact.target.startswith("executorch"):
        return "edgevit profile ARTIFACT --keep"
    return f"{words.plain(artifact.target)} tells no times by operator (edgevit profile reads those of ExecuTorch)"


def _said(profile: Profile) -> str:
    inside = sum(operator.milliseconds for operator in profile.operators if operator.delegated)
    outside = sum(operator.milliseconds for operator in profile.operators if not operator.delegated)
    whole = f"{words.milliseconds((profile.whole,))} in all, the median of {words.counted(profile.runs, 'run')}"
    split = f"{_share(inside, profile)} of it in the delegate, {_share(outside, profile)} in operators outside"
    calls = "" if profile.traced else "; within the delegate nothing was traced, so each of its calls is one operator"
    return f"{whole}: {split}, the rest in neither{calls}"


def _rows(profile: Profile) -> tuple[tuple[str, ...], ...]:
    shown, rest = profile.operators[:MOST], profile.operators[MOST:]
    rows = [_row(operator, profile) for operator in shown]
    if rest:
        milliseconds, count = sum(x.milliseconds for x in rest), sum(x.count for x in rest)
        rows.append((f"{len(rest)} other kinds ({count:,})", _time(milliseconds, profile), "both"))
    left = max(0.0, profile.whole - sum(operator.milliseconds for operator in profile.operators))
    return (*rows, ("in no operator", _time(left, profile), "neither"))


def _blocks(profile: Profile) -> tuple[tuple[str, ...], ...]:
    return tuple((f"{words.plain(b.name)} ({b.count:,})", _time(b.milliseconds, profile)) for b in profile.blocks)


def _row(operator: OperatorTime, profile: Profile) -> tuple[str, ...]:
    by = "delegate" if operator.delegated else "ExecuTorch"
    return f"{words.plain(operator.name)} ({operator.count:,})", _time(operator.milliseconds, profile), by


def _time(milliseconds: float, profile: Profile) -> str:
    return f"{words.milliseconds((milliseconds,))} ({_share(milliseconds, profile)})"


def _share(milliseconds: float, profile: Profile) -> str:
    return words.percent(milliseconds / profile.whole) if profile.whole > 0 else words.NOT_FINITE
