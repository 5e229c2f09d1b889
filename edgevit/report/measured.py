"""Each host and device with what was measured there, artifact by artifact and unit by unit, the lowest median first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgevit.ranking import ranked
from edgevit.report import places, words
from edgevit.report.places import Place
from edgevit.types import Latency, Outcome, Report

Cells = tuple[str, ...]
HEAD = ("Artifact", "p50 (interval)", "p90 / p99", "Load cold / warm, first answer", "Peak memory", "Runs", "Answers there")


@dataclass(frozen=True)
class Measured:
    """One place as a table; `notes` are what its figures need to be read rightly."""

    place: str
    rows: tuple[Cells, ...]
    notes: tuple[str, ...]


def build(report: Report) -> tuple[Measured, ...]:
    """Places where nothing was measured have no table: `absent` says why."""
    found = [(place, [x.latency for x in ranked(place.latencies)]) for place in places.places(report)]
    return tuple(_measured(place, order) for place, order in found if order)


def _measured(place: Place, order: list[Latency]) -> Measured:
    rows = tuple((_name(one, order), *(fill(one) for fill in FILLED)) for one in order)
    return Measured(place.heading, rows, (*_level(order), *_noted(order)))


def _name(one: Latency, order: list[Latency]) -> str:
    unit = places.unit(one)
    return f"{words.plain(one.artifact)} ({unit})"


def _p50(one: Latency) -> str:
    median = words.milliseconds((one.p50_ms,))
    if one.low_ms is None or one.high_ms is None:
        return f"{median} (no interval)"
    return f"{median} ({words.milliseconds((one.low_ms,))} to {words.milliseconds((one.high_ms,))})"


def _tail(one: Latency) -> str:
    if one.p90_ms is None and one.p99_ms is None:
        return words.missing("no single runs are told")
    return words.milliseconds((one.p90_ms, one.p99_ms))


def _load(one: Latency) -> str:
    figures = (one.cold_ms, one.warm_ms, one.first_ms)
    if all(figure is None for figure in figures):
        return words.missing("the tool does not tell it" if one.launches else "nothing was launched for it")
    dropped = "" if one.cold_ms is None or all(x.dropped for x in one.launches) else " (cold: the file may have been in memory)"
    return f"{words.milliseconds(figures[:2])}, {words.milliseconds(figures[2:])}{dropped}"


def _memory(one: Latency) -> str:
    if one.peak_bytes is None:
        return words.missing("the tool does not tell it" if one.launches else "nothing was launched for it")
    before = before_load(one)
    return words.size(one.peak_bytes) + (f" ({words.size(before)} before the model)" if before is not None else "")


def before_load(one: Latency) -> int | None:
    """What the process with the highest peak held before it loaded the model."""
    peaks = [x for x in one.launches if x.peak_bytes is not None and x.peak_bytes == one.peak_bytes]
    return peaks[0].before_bytes if peaks else None


def _runs(one: Latency) -> str:
    launches = f" in {words.counted(len(one.launches), 'launch').replace('launchs', 'launches')}" if one.launches else ""
    joules = f"; {one.millijoules:.3g} mJ an image" if one.millijoules is not None else ""
    return f"{one.runs:,}{launches}, after {one.warmup:,} untimed{joules}"


def _answers(one: Latency) -> str:
    if not (found := one.answers):
        return f"not asked: {words.plain(one.unanswered) or 'no reason was recorded'}"
    if found.outcome is not Outcome.PASS:
        return f"{found.outcome.value}: {words.plain(found.reason) or 'no reason was recorded'}"
    same = "" if found.agreement is None else f", {words.percent(found.agreement)} as the checkpoint"
    return f"right: {words.counted(found.images, 'image')}{same}"


FILLED: tuple[Callable[[Latency], str], ...] = (_p50, _tail, _load, _memory, _runs, _answers)
"""What fills each column behind the name."""


def _level(order: list[Latency]) -> tuple[str, ...]:
    """Neighbours in the order that it does not tell apart."""
    places_ = ranked(order)
    told = []
    for at, one in enumerate(places_):
        later = [words.plain(places.named(order[other], order)) for other in one.level if other > at]
        if later:
            told.append(f"{places.named(one.latency, order)} cannot be told from {words.listed(later)}")
    return tuple(told)


def _noted(order: list[Latency]) -> tuple[str, ...]:
    said = []
    for one in order:
        name = places.named(one, order)
        said += [f"{name}: its interval is not narrow: {words.plain(one.noise)}"] if one.noise else []
        said += [f"{name}: not on the unit that was asked for: {where}" for where in elsewhere(one)]
        said += [f"{name}: under load, {sustained(one)}"] if one.sustained else []
    return tuple(said)


def elsewhere(one: Latency) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words.plain(launch.elsewhere) for launch in one.launches if launch.elsewhere))


def sustained(one: Latency) -> str:
    """From the first stretch to the last, and how warm the device was."""
    first, last = one.sustained[0], one.sustained[-1]
    start, end = (moment.conditions.celsius for moment in (first, last))
    warm = "" if start is None or end is None else f", from {start:.0f} to {end:.0f} °C"
    seconds = words.duration(last.conditions.seconds - first.conditions.seconds)
    times = f"{words.milliseconds((first.p50_ms,))} at first and {words.milliseconds((last.p50_ms,))} after {seconds}"
    return f"p50 {times}{warm}"
