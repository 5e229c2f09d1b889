"""What another needs to do the same again: the rules of the bench, the devices, and how they were meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgevit.report import places, words
from edgevit.report.evaluation import Fact
from edgevit.report.places import Place
from edgevit.types import BenchRules, Conditions, DeviceFacts, Report


@dataclass(frozen=True)
class Device:
    """A place with its facts, conditions among them."""

    place: str
    facts: tuple[Fact, ...]


def rules(report: Report) -> tuple[Fact, ...]:
    """Empty where the report holds none."""
    return _rules(report.rules) if report.rules else ()


def _rules(found: BenchRules) -> tuple[Fact, ...]:
    launches = f"{found.launches} to {found.most_launches} of each artifact, in turn, in an order drawn with seed {found.seed}"
    until = f"until every interval is within {100 * found.narrow:g} % of its median, or {words.duration(found.seconds)} are over"
    cores = f"cores {', '.join(map(str, found.affinity))}" if found.affinity else "all cores"
    units = ", ".join(places.UNITS[unit] for unit in found.units) or "all that the device offers for each model"
    sustained = words.duration(found.sustained) if found.sustained else "not asked for"
    return (
        Fact("Launches", f"{launches}, {until}"),
        Fact("Runs", f"at least {found.runs:,} timed in all, each launch after {found.warmup:,} untimed"),
        Fact("Interval", "95 %, of the median, from launch to launch by order statistics; none of fewer than 6 launches"),
        Fact("Threads and cores", f"{places.counted_threads(found.threads)}, {cores}"),
        Fact("Units", units),
        Fact(
            "Answers",
            f"{words.counted(found.images, 'image')} of the validation set on each device" if found.images else "not asked for",
        ),
        Fact("Sustained run", sustained),
    )


def devices(report: Report) -> tuple[Device, ...]:
    return tuple(_device(place) for place in places.places(report))


def _device(place: Place) -> Device:
    return Device(place.heading, (*_facts(place.facts), *_fault(place), *_conditions(place)))


def _facts(found: DeviceFacts | None) -> tuple[Fact, ...]:
    if found is None:
        return (Fact("Facts", "the report holds none"),)
    versions = ", ".join(f"{words.plain(name)} {words.plain(version)}" for name, version in sorted(found.runtimes.items()))
    memory = "not told" if found.memory is None else words.size(found.memory)
    cores = "not told" if found.cores is None else words.counted(found.cores, "core")
    return (
        Fact("Named", words.plain(found.spec)),
        Fact("System", words.plain(found.system) or "not told"),
        Fact("Processor and memory", f"{words.plain(found.processor) or 'not told'}; {cores}; memory {memory}"),
        Fact("Runtimes", versions or "not told"),
    )


def _fault(place: Place) -> tuple[Fact, ...]:
    return (Fact("Not measured", place.fault),) if place.fault else ()


def _conditions(place: Place) -> tuple[Fact, ...]:
    """Before the first launch of all, and after the last; clocks over all of them."""
    launches = [launch for latency in place.latencies for launch in latency.launches]
    found = [x for launch in launches for x in (launch.before, launch.after) if x]
    if not found:
        why = "no conditions were told" if launches else "nothing was launched"
        return (Fact("Clock, governor, temperature", words.missing(why)),)
    order = sorted(found, key=lambda x: x.seconds)
    noisy = [f"{places.named(x, place.latencies)}: {words.plain(x.noise)}" for x in place.latencies if x.noise]
    return (
        Fact("Clock", _range((x.mhz for x in order), "MHz")),
        Fact("Governor", ", ".join(dict.fromkeys(words.plain(x.governor) for x in order if x.governor)) or "not told"),
        Fact("Temperature", _temperature(order)),
        Fact("Others' share of the processor", _busy(order)),
        Fact("Noise", "; ".join(noisy) or "none: every interval is narrow"),
    )


def _range(values: Iterable[float | None], what: str) -> str:
    told = [value for value in values if value is not None]
    if not told:
        return "not told"
    return f"{min(told):.0f} to {max(told):.0f} {what}"


def _temperature(order: list[Conditions]) -> str:
    told = [x.celsius for x in order if x.celsius is not None]
    return f"{told[0]:.0f} °C before, {told[-1]:.0f} °C after, {max(told):.0f} °C at most" if told else "not told"


def _busy(order: list[Conditions]) -> str:
    told = [x.busy for x in order if x.busy is not None]
    return f"{words.percent(max(told))} at most" if told else "not told"
