"""The sentence that comes first: does every artifact still give the checkpoint's answers, and what stopped where."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.report import words
from edgevit.types import Artifact, Outcome, Report

STOPPED_AT = {
    Outcome.SKIPPED: "skipped",
    Outcome.QUANTIZE_FAILED: "stopped at quantization",
    Outcome.CONVERT_FAILED: "stopped at conversion",
    Outcome.UNDELEGATED: "stopped at the delegation check",
    Outcome.LOAD_FAILED: "stopped at loading",
    Outcome.RUN_FAILED: "stopped at running",
    Outcome.WRONG_ANSWERS: "stopped at checking the answers",
    Outcome.OVER_BUDGET: "stopped at the budget",
}
NOT_TRIED = (Outcome.SKIPPED, Outcome.UNCHECKED)
NOTHING_MADE = (Outcome.SKIPPED, Outcome.QUANTIZE_FAILED, Outcome.CONVERT_FAILED)


@dataclass(frozen=True)
class Verdict:
    """`tone` is `good`, `idle` (nothing failed, something was not tried) or `bad`."""

    tone: str
    headline: str
    details: tuple[str, ...]


def tone(artifact: Artifact) -> str:
    if artifact.outcome in NOT_TRIED or (artifact.outcome is Outcome.PASS and artifact.agreement is None):
        return "idle"
    return "good" if artifact.outcome is Outcome.PASS else "bad"


def build(report: Report) -> Verdict:
    failed = [a for a in report.artifacts if tone(a) == "bad"]
    idle = [a for a in report.artifacts if tone(a) == "idle"]
    strangers = [a for a in report.artifacts if stranger(report, a)]
    agreeing = [a for a in report.artifacts if tone(a) == "good" and a not in strangers]
    foreign = [f"{words.plain(a.name)} was made from another checkpoint" for a in strangers]
    details = (*map(_what_happened, failed), *foreign, *map(_what_happened, idle), *_evaluated(agreeing))
    if failed or strangers:
        return Verdict("bad", _failed(report, failed, agreeing), details)
    if idle or not agreeing:
        return Verdict("idle", _partly(report, agreeing), details)
    return Verdict("good", _agree(len(agreeing)), details)


def _agree(number: int) -> str:
    who = "The artifact agrees" if number == 1 else f"All {number} artifacts agree"
    return f"{who} with the checkpoint"


def _partly(report: Report, agreeing: list[Artifact]) -> str:
    if not report.artifacts:
        return "Nothing was exported: there is no artifact to judge"
    total, others = words.counted(len(report.artifacts), "artifact"), len(report.artifacts) - len(agreeing)
    verb = "was" if others == 1 else "were"
    return f"{len(agreeing)} of {total} {_agrees(agreeing)} with the checkpoint; {others} {verb} not checked"


def _failed(report: Report, failed: list[Artifact], agreeing: list[Artifact]) -> str:
    total = words.counted(len(report.artifacts), "artifact")
    rest = f"{len(agreeing)} {_agrees(agreeing)} with the checkpoint"
    if not failed:
        return f"{rest}, of {total}: some were made from another one"
    names = words.listed(f"{words.plain(a.name)} {STOPPED_AT[a.outcome]}" for a in failed)
    return f"{len(failed)} of {total} failed: {names}; {rest}"


def _agrees(agreeing: list[Artifact]) -> str:
    return "agrees" if len(agreeing) == 1 else "agree"


def _what_happened(artifact: Artifact) -> str:
    why = words.plain(artifact.reason)
    if artifact.outcome is Outcome.PASS:
        return f"{words.plain(artifact.name)} was not checked: {why or 'nothing on this machine runs it'}"
    return f"{words.plain(artifact.name)}: {artifact.outcome.value}, {why or 'no reason was recorded'}"


def stranger(report: Report, artifact: Artifact) -> bool:
    """Whether its record names other weights than the report's checkpoint has."""
    known = report.checkpoint.weights_sha256
    return bool(artifact.checkpoint_sha256 and known and artifact.checkpoint_sha256 != known)


def _evaluated(agreeing: list[Artifact]) -> tuple[str, ...]:
    names = [words.plain(a.name) for a in agreeing if a.where == "reference"]
    if not names:
        return ()
    verb = "was" if len(names) == 1 else "were"
    return (f"{words.listed(names)} {verb} computed by the reference evaluator, not by the target's own runtime",)
