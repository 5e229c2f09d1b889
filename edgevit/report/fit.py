"""Which measured artifacts may be recommended: whose answers are right, and whose time is that of a runtime."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgevit.report import places, verdict, words
from edgevit.report.places import Place
from edgevit.types import Artifact, Latency, Outcome, Paired, Report


@dataclass(frozen=True)
class Candidate:
    """An artifact on one unit of a place; `against` says why it may not be recommended, and is empty where it may."""

    artifact: Artifact
    latency: Latency
    name: str
    against: str

    @property
    def measured(self) -> bool:
        p50 = self.latency.p50_ms
        return p50 is not None and math.isfinite(p50)

    @property
    def top1(self) -> float:
        """As it was checked; that of the device where nothing else computed it with its runtime. NaN where it is unknown."""
        found = _told(self)[0]
        return math.nan if found is None else found

    @property
    def change(self) -> float | None:
        reference = _told(self)[1]
        return None if reference is None or math.isnan(self.top1) else self.top1 - reference

    @property
    def images(self) -> int:
        return _told(self)[2]

    @property
    def checked(self) -> str:
        """Where top-1 is of."""
        by_device = self.artifact.where == "reference" and self.latency.answers
        return "answered on the device" if by_device else "checked on the host"

    @property
    def paired(self) -> Paired | None:
        return _told(self)[3]


def _told(one: Candidate) -> tuple[float | None, float | None, int, Paired | None]:
    """Top-1, the checkpoint's, on how many images, and the two side by side."""
    answers, made = one.latency.answers, one.artifact
    if made.where == "reference" and answers:
        return answers.top1, answers.reference_top1, answers.images, answers.paired
    return made.top1, made.reference_top1, made.images, made.paired


def candidates(report: Report, place: Place) -> tuple[Candidate, ...]:
    """Every artifact with what was measured of it there, the fastest first; unmeasured ones are at the end."""
    found = [
        Candidate(artifact, latency, places.named(latency, place.latencies), _against(report, place, artifact, latency))
        for artifact in report.artifacts
        for latency in places.of(place, artifact)
    ]
    return tuple(sorted(found, key=lambda one: (not one.measured, one.latency.p50_ms or 0.0)))


def _against(report: Report, place: Place, artifact: Artifact, latency: Latency) -> str:
    reasons = (
        _of_artifact(report, artifact),
        "" if latency.p50_ms is not None and math.isfinite(latency.p50_ms) else words.missing(latency.reason),
        "its time is an evaluator's, not a runtime's" if place.kind == "reference" else "",
        _of_answers(artifact, latency),
    )
    return next((reason for reason in reasons if reason), "")


def _of_artifact(report: Report, artifact: Artifact) -> str:
    if artifact.outcome is not Outcome.PASS:
        return f"{artifact.outcome.value}, {words.plain(artifact.reason) or 'no reason was recorded'}"
    if verdict.stranger(report, artifact):
        return "it was made from another checkpoint"
    names = [one.name for one in report.artifacts]
    return "more than one artifact has this name" if names.count(artifact.name) > 1 else ""


def _of_answers(artifact: Artifact, latency: Latency) -> str:
    """Where they were asked on the device they count; else those that the artifact's own runtime gave when it was checked."""
    if answers := latency.answers:
        right = answers.outcome is Outcome.PASS
        return "" if right else f"its answers there: {answers.outcome.value}, {words.plain(answers.reason)}"
    if artifact.agreement is None:
        return "nobody has checked its answers"
    return "its answers are the reference evaluator's, and none were asked there" if artifact.where == "reference" else ""
