"""What was not measured, and why: nothing that a reader may look for is left out in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgevit.report import delegation, places, table, verdict, words
from edgevit.report.places import Place
from edgevit.report.ship import NO_LATENCY
from edgevit.types import Artifact, Latency, Report

Gap = tuple[str, str, str]
"""What, of whom, why."""


@dataclass(frozen=True)
class Absent:
    """`what` of `whose` there is no figure of, and the reason."""

    what: str
    whose: str
    why: str


def build(report: Report) -> tuple[Absent, ...]:
    """Those with the same reason in one line."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for what, whose, why in _gaps(report):
        grouped.setdefault((what, words.plain(why) or "no reason was recorded"), []).append(whose)
    return tuple(Absent(what, words.listed(dict.fromkeys(names)), why) for (what, why), names in grouped.items())


def _gaps(report: Report) -> Iterator[Gap]:
    there = places.places(report)
    if not there:
        yield "latency", "every artifact", "the report holds no latency"
    for place in there:
        yield from _of_place(report, place)
    for artifact in report.artifacts:
        yield from _of_artifact(report, artifact)
    if report.evaluation is None:
        yield "evaluation", "the checkpoint", next(iter(report.evaluated.notes), "the report holds none")
    if not report.curve:
        yield "training curve", "the checkpoint", "the report holds none"


def _of_place(report: Report, place: Place) -> Iterator[Gap]:
    if place.fault:
        yield f"everything on {place.name}", "every artifact", place.fault
        return
    where = f"on {place.name}"
    for artifact in report.artifacts:
        if not (found := places.of(place, artifact)) and artifact.outcome not in verdict.STOPPED_AT:
            yield f"latency {where}", words.plain(artifact.name), NO_LATENCY
        for one in found:
            yield from _of_latency(one, place, where)
    yield from _of_units(report, place)
    yield from _of_device(report, place)


def _of_latency(one: Latency, place: Place, where: str) -> Iterator[Gap]:
    name = places.named(one, place.latencies)
    if one.p50_ms is None:
        yield f"latency {where}", name, one.reason
        return
    if one.p90_ms is None:
        yield f"p90 and p99 {where}", name, "no single runs are told"
    if one.low_ms is None or one.high_ms is None:
        yield f"interval of p50 {where}", name, f"it takes 6 launches, and there were {len(one.launches)}"
    if one.answers is None:
        yield f"answers {where}", name, one.unanswered


def _of_units(report: Report, place: Place) -> Iterator[Gap]:
    """Units that were asked for, and that nothing here says a word of."""
    for unit in report.rules.units if report.rules else ():
        if not any(latency.unit is unit for latency in place.latencies):
            yield f"{places.UNITS[unit]} on {place.name}", "every artifact", "asked for, and the report holds nothing of it"


def _of_device(report: Report, place: Place) -> Iterator[Gap]:
    """What a whole device does not tell."""
    measured = [x for x in place.latencies if x.p50_ms is not None]
    if not measured:
        return
    launches = [launch for latency in measured for launch in latency.launches]
    conditions = [x for launch in launches for x in (launch.before, launch.after) if x]
    why = "not told there" if launches else "nothing was launched for it: the record holds times alone"
    told = {
        "memory": any(x.peak_bytes is not None for x in launches),
        "load, cold and warm": any(x.cold_ms is not None or x.warm_ms is not None for x in launches),
        "energy": any(x.joules is not None for x in launches),
        "clock": any(x.mhz is not None for x in conditions),
        "temperature": any(x.celsius is not None for x in conditions),
    }
    yield from ((what, place.name, why) for what, known in told.items() if not known)
    if not any(x.sustained for x in measured):
        yield "sustained run", place.name, no_sustained(report)


def no_sustained(report: Report) -> str:
    asked = report.rules is not None and report.rules.sustained > 0
    return "it was asked for, and the device gave none" if asked else "none was asked for"


def _of_artifact(report: Report, artifact: Artifact) -> Iterator[Gap]:
    name = words.plain(artifact.name)
    if artifact.top1 is None:
        yield "accuracy", name, _bare(table.why_missing(artifact))
    elif artifact.where == "reference":
        yield "answers of its own runtime", name, "the reference evaluator answered in its place"
    if artifact.outcome in verdict.NOTHING_MADE:
        return
    if artifact.delegation.inside is None or artifact.delegation.outside is None:
        yield "delegation", name, artifact.delegation.reason
    if artifact.name not in report.profiles:
        yield "time by operator", name, delegation.why_not(artifact)


def _bare(text: str) -> str:
    return text.removeprefix("not measured: ")
