"""The Pareto front of accuracy against p90: those that nothing else beats in one of the two without losing in the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgevit.report import fit, places
from edgevit.report.fit import Candidate
from edgevit.report.places import Place
from edgevit.types import Report, Unit


def front(found: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The fastest first. Only what may be shipped can be on it, by its own runtime's answers; of two with equal figures both."""
    own = [one for one in found if not one.against and one.artifact.where != "reference"]
    able = [one for one in own if _p90(one) is not None and not math.isnan(one.top1)]
    kept = [one for one in able if not any(_beats(other, one) for other in able)]
    return tuple(sorted(kept, key=lambda one: _p90(one) or 0.0))


def groups(report: Report, place: Place) -> tuple[tuple[str, tuple[Candidate, ...]], ...]:
    """What may share a chart, with a name: all units of a place, and of its CPU one number of threads."""
    found = fit.candidates(report, place)
    cpu = [one for one in place.latencies if one.unit is Unit.CPU and one.p50_ms is not None]
    counts = list(dict.fromkeys(one.threads for one in cpu)) or [None]
    several = len(counts) > 1
    return tuple((_named(place, threads, several), _of(found, threads)) for threads in counts)


def _of(found: tuple[Candidate, ...], threads: int | None) -> tuple[Candidate, ...]:
    return tuple(one for one in found if one.latency.unit is not Unit.CPU or not one.measured or one.latency.threads == threads)


def _named(place: Place, threads: int | None, several: bool) -> str:
    told = f"{place.name}, {places.counted_threads(threads)}"
    return told if threads is not None or several else place.name


def _beats(one: Candidate, other: Candidate) -> bool:
    (a, b), (left, right) = (_p90(one) or 0.0, _p90(other) or 0.0), (one.top1, other.top1)
    return a <= b and left >= right and (a < b or left > right)


def _p90(one: Candidate) -> float | None:
    p90 = one.latency.p90_ms
    return p90 if p90 is not None and math.isfinite(p90) else None
