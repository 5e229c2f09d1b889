"""The answer: for each device the artifact to ship, why that one, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgevit.ranking import lower, ranked
from edgevit.report import fit, places, words
from edgevit.report.fit import Candidate
from edgevit.report.places import Place
from edgevit.types import Outcome, Report

NO_LATENCY = "the report holds no latency of it here"


@dataclass(frozen=True)
class Answer:
    """`found` is whether something can be shipped; `others` are why not the rest, one sentence each."""

    place: str
    found: bool
    headline: str
    reasons: tuple[str, ...]
    others: tuple[str, ...]


def build(report: Report) -> tuple[Answer, ...]:
    """One for each host and device; where there is neither, one that says so. Evaluators get none."""
    found = [_answer(report, place) for place in places.places(report) if place.kind != "reference"]
    return tuple(found) or (Answer("", False, "Nothing can be recommended: no latency was measured", (), ()),)


def _answer(report: Report, place: Place) -> Answer:
    everything = fit.candidates(report, place)
    able = [one for one in everything if not one.against]
    absent = _absent(report, place)
    if not able:
        return _nothing(place, everything, absent)
    tied = _tied(able)
    chosen = min(tied, key=_preference)
    rest = [one for one in everything if one is not chosen and (one.measured or one.artifact.outcome is Outcome.PASS)]
    others = _together([*((one.name, _why_not(one, chosen)) for one in rest), *absent])
    return Answer(place.heading, True, _headline(chosen), tuple(_reasons(chosen, tied, able, place)), others)


def _together(found: list[tuple[str, str]]) -> tuple[str, ...]:
    """Names and what is said of them, a sentence each; those of which the same is said share one."""
    names: dict[str, dict[str, None]] = {}
    for name, why in found:
        names.setdefault(why, {})[name] = None
    return tuple(f"{words.listed(those)}: {why}" for why, those in names.items())


def _headline(chosen: Candidate) -> str:
    p50, p90, size = chosen.latency.p50_ms, chosen.latency.p90_ms, chosen.artifact.bytes
    time = f"p50 {words.milliseconds((p50,))}" if p90 is None else f"p90 {words.milliseconds((p90,))}"
    said = [time, *([] if math.isnan(chosen.top1) else [f"top-1 {words.percent(chosen.top1)} {chosen.checked}"])]
    said += [] if size is None else [words.size(size)]
    return f"Ship {words.plain(chosen.artifact.name)} ({places.unit(chosen.latency)}): {', '.join(said)}"


def _absent(report: Report, place: Place) -> list[tuple[str, str]]:
    """Artifacts that passed, and of which nobody says why they were not measured there."""
    passed = (one for one in report.artifacts if one.outcome is Outcome.PASS and not places.of(place, one))
    return [(words.plain(one.name), words.missing(NO_LATENCY)) for one in passed]


def _nothing(place: Place, everything: tuple[Candidate, ...], absent: list[tuple[str, str]]) -> Answer:
    if place.fault:
        return Answer(place.heading, False, f"Nothing to ship: {words.missing(place.fault)}", (), ())
    why = "every artifact has something against it" if everything else "no artifact was measured here"
    others = _together([*((one.name, one.against) for one in everything), *absent])
    return Answer(place.heading, False, f"Nothing to ship: {why}", (), others)


def _tied(able: list[Candidate]) -> list[Candidate]:
    """The one with the lowest median, and those whose interval meets its own and all others' here.

    One without an interval may be far off, so it is never preferred to another, and none to it.
    """
    first = ranked([one.latency for one in able])[0].latency
    best = next(one for one in able if one.latency is first)
    level = [one for one in able if _bounded(one) and not any(_lower(other, one) for other in able)]
    return level if _bounded(best) else [best]


def _bounded(one: Candidate) -> bool:
    return one.latency.low_ms is not None and one.latency.high_ms is not None


def _lower(one: Candidate, other: Candidate) -> bool | None:
    return lower(one.latency, other.latency)


def _preference(one: Candidate) -> tuple[float, float, float]:
    """The smallest file, then the most accurate, then the lowest median."""
    size = math.inf if one.artifact.bytes is None else one.artifact.bytes
    top1 = 0.0 if math.isnan(one.top1) else one.top1
    return size, -top1, one.latency.p50_ms or 0.0


def _reasons(chosen: Candidate, tied: list[Candidate], able: list[Candidate], place: Place) -> Iterator[str]:
    yield _time(chosen, tied, able)
    p90 = chosen.latency.p90_ms
    yield "p90 " + (words.missing("the tool tells no single runs") if p90 is None else words.milliseconds((p90,)))
    yield f"top-1 {accuracy(chosen)}"
    size = chosen.artifact.bytes
    yield "size " + (words.missing("no size was recorded") if size is None else words.size(size))
    yield _answered(chosen, place)
    if elsewhere := sorted({words.plain(x.elsewhere) for x in chosen.latency.launches if x.elsewhere}):
        yield f"not all of it ran on the unit that was asked for: {'; '.join(elsewhere)}"
    if noise := chosen.latency.noise:
        yield f"its interval is not narrow: {words.plain(noise)}"


def _time(chosen: Candidate, tied: list[Candidate], able: list[Candidate]) -> str:
    said = f"p50 {milliseconds(chosen)}"
    if len(able) == 1:
        return f"{said}; it is the only one measured here whose answers are right"
    rest = [one for one in tied if one is not chosen]
    if not rest:
        return f"{said}, the lowest of {len(able)} whose answers are right{_untold(chosen, able)}"
    names = words.listed(one.name for one in rest)
    return f"{said}; {names} cannot be told from it, since the intervals meet, and of these it is {_what_decides(chosen, rest)}"


def _untold(chosen: Candidate, able: list[Candidate]) -> str:
    """Where an interval is missing the order is that of the medians, and nobody knows better."""
    unknown = [one.name for one in able if one is not chosen and _lower(chosen, one) is None]
    return f", as the medians say; without intervals {words.listed(unknown)} cannot be told from it" if unknown else ""


def _what_decides(chosen: Candidate, rest: list[Candidate]) -> str:
    size, top1, _ = _preference(chosen)
    same = [one for one in rest if _preference(one)[0] == size]
    if not same:
        return "the smallest file"
    if all(_preference(one)[1] > top1 for one in same):
        return "the most accurate of the smallest files"
    return "the one with the lowest median, at the same size and accuracy"


def accuracy(one: Candidate) -> str:
    """Top-1, its change with the interval of that, and on how many images."""
    if math.isnan(one.top1):
        return words.missing("no accuracy was recorded")
    said = f"{words.percent(one.top1)} of {words.counted(one.images, 'image')}, {one.checked}"
    if one.change is None:
        return f"{said}; its change {words.missing('the checkpoint was not run on these images')}"
    if not one.paired:
        return f"{said}, {words.points(one.change)} against the checkpoint, without an interval: answers were not paired"
    low, high = (words.points(end) for end in (one.paired.low, one.paired.high))
    return f"{said}, {words.points(one.change)} against the checkpoint (95 % interval {low} to {high})"


def milliseconds(one: Candidate) -> str:
    """The median with its interval."""
    found = one.latency
    if found.low_ms is None or found.high_ms is None:
        return f"{words.milliseconds((found.p50_ms,))} (no interval)"
    low, high = (words.milliseconds((end,)) for end in (found.low_ms, found.high_ms))
    return f"{words.milliseconds((found.p50_ms,))} (95 % interval {low} to {high})"


def _answered(one: Candidate, place: Place) -> str:
    where = "on this machine" if place.kind == "host" else "on the device"
    if not (answers := one.latency.answers):
        why = words.plain(one.latency.unanswered) or "no reason was recorded"
        return f"its answers were not asked {where} again in this bench ({why}); they were right where it was checked"
    same = "" if answers.agreement is None else f", {words.percent(answers.agreement)} of them as the checkpoint does"
    return f"{words.counted(answers.images, 'image')} answered {where}{same}"


def _why_not(one: Candidate, chosen: Candidate) -> str:
    """What is said behind its name."""
    if one.against:
        time = f"; p50 {milliseconds(one)}" if one.measured else ""
        return f"{one.against}{time}"
    slower = _lower(chosen, one)
    if slower:
        times = (one.latency.p50_ms or 0.0) / (chosen.latency.p50_ms or math.nan)
        return f"slower, p50 {milliseconds(one)}, {times:.2f} times as long"
    if slower is None and not (_bounded(one) and _bounded(chosen)):
        return f"p50 {milliseconds(one)}; without intervals the two cannot be told apart, and its median is higher"
    return f"cannot be told from it in time, p50 {milliseconds(one)}; {_second(one, chosen)}"


def _second(one: Candidate, chosen: Candidate) -> str:
    sizes = [words.size(x.artifact.bytes) if x.artifact.bytes is not None else "unknown size" for x in (one, chosen)]
    if _preference(one)[0] != _preference(chosen)[0]:
        return f"its file is larger, {sizes[0]} against {sizes[1]}"
    if _preference(one)[1] > _preference(chosen)[1]:
        return f"its file is as large, and top-1 lower: {words.percent(one.top1)} against {words.percent(chosen.top1)}"
    return "as small and as accurate, and its median is higher"
