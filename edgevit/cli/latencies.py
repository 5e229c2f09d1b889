"""What was measured on devices, as tables of 80 columns and lines below them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgevit import ranking
from edgevit.types import Bench, Conditions, DeviceFacts, Latency, Unit

DEVICE_COLUMNS = ("device", "what", "cores", "GB", "runtimes")


def device_row(facts: DeviceFacts) -> list[str]:
    if facts.reason:
        return [facts.spec, "not reachable", "", "", ""]
    memory = "" if facts.memory is None else f"{facts.memory / 1e9:.1f}"
    runs = [f"{name} {version}" for name, version in facts.runtimes.items() if name not in ("python", "torch", "numpy")]
    return [facts.spec, f"{facts.name} ({facts.processor})", str(facts.cores or ""), memory, ", ".join(runs) or "none"]


def device_notes(found: Sequence[DeviceFacts]) -> list[str]:
    return [f"{one.spec}: {one.reason}" + (f"; {one.hint}" if one.hint else "") for one in found if one.reason]


LATENCY_COLUMNS = ("artifact", "p50 ms", "95 % between", "p90 ms", "p99 ms", "cold ms", "peak MB", "answers")


def latency_rows(latencies: Sequence[Latency]) -> list[list[str]]:
    """Those that were measured first, the lowest median on top."""
    order = [place.latency for place in ranking.ranked(latencies)]
    return [latency_row(x) for x in [*order, *(x for x in latencies if x.p50_ms is None)]]


def latency_row(x: Latency) -> list[str]:
    if x.p50_ms is None:
        return [name_of(x), "not measured", *[""] * 6]
    ends = "none" if x.low_ms is None or x.high_ms is None else f"{x.low_ms:.2f}-{x.high_ms:.2f}"
    peak = "none" if x.peak_bytes is None else f"{x.peak_bytes / 1e6:.0f}"
    return [name_of(x), _ms(x.p50_ms), ends, _ms(x.p90_ms), _ms(x.p99_ms), _ms(x.cold_ms), peak, _answers(x)]


def name_of(x: Latency) -> str:
    return Path(x.artifact).name + ("" if x.unit is Unit.CPU else f" on {x.unit.value}")


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _answers(x: Latency) -> str:
    if x.answers is None:
        return "not asked"
    return "wrong" if x.answers.reason else "right"


def latency_notes(found: Bench) -> list[str]:
    """How it was measured, on what, and all that the table has no room for."""
    latencies, rules = found.latencies, found.rules
    notes = [f"on {machine}" for machine in sorted({x.machine for x in latencies if x.machine})]
    if any(x.where == "host" for x in latencies):
        notes.append("this machine is the host: its figures are no phone's")
    if measured := [x for x in latencies if x.launches]:
        launches, runs = sorted({len(x.launches) for x in measured}), sorted({x.runs for x in measured})
        threads = sorted({str(x.threads) if x.threads else "its own" for x in measured})
        notes.append(
            f"{_range(launches)} launches of each in turn, {_range(runs)} timed runs in all, {rules.warmup} untimed before each "
            f"launch's; threads: {', '.join(threads)}; the interval is that of the median from launch to launch"
        )
    notes += _around(latencies)
    notes += [f"{name_of(x)}: {x.noise}" for x in latencies if x.noise]
    notes += [f"{name_of(x)}: not measured: {x.reason}" for x in latencies if x.p50_ms is None]
    notes += [f"{name_of(x)}: {x.reason}" for x in latencies if x.p50_ms is not None and x.reason]
    notes += [f"{name_of(x)}: {_checked(x)}" for x in latencies if x.answers]
    notes += [f"{name_of(x)}: {x.unanswered}" for x in latencies if x.unanswered]
    elsewhere = {
        f"{name_of(x)}: not on {x.unit.value}: {y.elsewhere}": None for x in latencies for y in x.launches if y.elsewhere
    }
    notes += list(elsewhere)
    notes += [f"{name_of(x)}: {sustained(x)}" for x in latencies if x.sustained]
    return notes


def _checked(x: Latency) -> str:
    found = x.answers
    assert found
    same = "" if found.agreement is None else f"{100 * found.agreement:.1f} % of {found.images} answers are the checkpoint's"
    error = "" if found.relative_error is None else f", relative error {found.relative_error:.1e} of the golden outputs"
    return f"{same}{error}" + (f": WRONG_ANSWERS: {found.reason}" if found.reason else "")


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _around(latencies: Sequence[Latency]) -> list[str]:
    """Clock, governor and heat from the first launch to the last, as far as the device tells."""
    told = sorted((c for x in latencies for y in x.launches for c in (y.before, y.after) if c), key=lambda c: c.seconds)
    if not told:
        return []
    first, last = told[0], told[-1]
    words = [_span("clock", first.mhz, last.mhz, "MHz"), _span("hottest sensor", first.celsius, last.celsius, "degrees C")]
    busy = max((c.busy for c in told if c.busy is not None), default=None)
    words.append(f"governor {first.governor or 'not told'}")
    words.append("others' share of the processor not told" if busy is None else f"others took up to {100 * busy:.0f} %")
    return ["; ".join(words)]


def _span(what: str, first: float | None, last: float | None, unit: str) -> str:
    if first is None or last is None:
        return f"{what} not told"
    return f"{what} {first:.0f} {unit} before, {last:.0f} after"


def sustained(x: Latency) -> str:
    """What a long run without a pause came to."""
    first, last = x.sustained[0], x.sustained[-1]
    seconds = last.conditions.seconds - first.conditions.seconds
    heat = _heat(first.conditions, last.conditions)
    return f"sustained {seconds:.0f} s: p50 {first.p50_ms:.2f} ms at first, {last.p50_ms:.2f} ms at the end{heat}"


def _heat(first: Conditions, last: Conditions) -> str:
    return "" if first.celsius is None or last.celsius is None else f", {first.celsius:.0f} to {last.celsius:.0f} degrees C"


def ranking_lines(latencies: Sequence[Latency]) -> list[str]:
    """Which is fastest, or that it cannot be told."""
    places = ranking.ranked(latencies)
    if len(places) < 2:
        return []
    first, level = places[0].latency, [places[at].latency for at in places[0].level]
    if not level:
        return [f"fastest: {name_of(first)}"]
    return [f"cannot tell which is fastest of {', '.join(map(name_of, [first, *level]))}: their intervals meet"]
