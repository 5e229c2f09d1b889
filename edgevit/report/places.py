"""Where latencies were measured: one device, one who computes. Figures of two places never share an axis or an order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgevit.report import words
from edgevit.types import Artifact, DeviceFacts, Latency, Report, Unit

LOCAL, HERE = "local", "this machine"
UNITS = {Unit.CPU: "CPU", Unit.GPU: "GPU", Unit.NPU: "NPU", Unit.ALL: "units as the runtime chooses"}


@dataclass(frozen=True)
class Place:
    """`kind` is `host`, `device`, or `reference` where an evaluator stood in. Of a host the machine tells it from another."""

    kind: str
    device: str
    machine: str
    name: str
    """As people read it, and whether that is a host or a device."""
    facts: DeviceFacts | None
    latencies: tuple[Latency, ...]

    @property
    def fault(self) -> str:
        """Why nothing can be measured there, and what to do about it; empty where something can or was."""
        if not self.facts or not self.facts.reason or any(one.p50_ms is not None for one in self.latencies):
            return ""
        hint = f" ({words.plain(self.facts.hint)})" if self.facts.hint else ""
        return words.plain(self.facts.reason) + hint

    @property
    def heading(self) -> str:
        """A device's own name is left as it is."""
        return self.name.replace(HERE, HERE.capitalize(), 1) if self.name.startswith(HERE) else self.name


def places(report: Report) -> tuple[Place, ...]:
    """Those of the report's devices, in their order, then those that only latencies name."""
    groups: dict[tuple[str, str, str], list[Latency]] = {}
    for facts in report.devices:
        groups[_of_facts(facts, report)] = []
    for latency in report.latencies:
        groups.setdefault(_key(latency, report), []).append(latency)
    found = [_place(report, key, tuple(measured)) for key, measured in groups.items()]
    names = [place.name for place in found]
    return tuple(replace(x, name=f"{x.name}, {words.plain(x.device)}") if names.count(x.name) > 1 else x for x in found)


def belongs(latency: Latency, artifact: Artifact) -> bool:
    """A latency of a report names its artifact as `Artifact.name` does: `files.portable` sees to it."""
    return latency.artifact == artifact.name


def unit(latency: Latency) -> str:
    """The unit, and how many threads where it was told."""
    threads = f", {words.counted(latency.threads, 'thread')}" if latency.threads is not None else ""
    return UNITS[latency.unit] + threads


def counted_threads(threads: int | None) -> str:
    return "threads as the runtime chose" if threads is None else words.counted(threads, "thread")


def named(latency: Latency, among: Iterable[Latency]) -> str:
    """Its artifact, with the unit and the threads where others `among` which it stands have the same name."""
    name, same = words.plain(latency.artifact), [x for x in among if x.artifact == latency.artifact]
    if len({x.unit for x in same}) > 1:
        name += f" on {UNITS[latency.unit]}" if latency.unit is not Unit.ALL else " on all units"
    threads = {x.threads for x in same if x.unit is latency.unit}
    return f"{name}, {words.counted(latency.threads, 'thread')}" if len(threads) > 1 and latency.threads else name


def of(place: Place, artifact: Artifact) -> tuple[Latency, ...]:
    return tuple(latency for latency in place.latencies if belongs(latency, artifact))


def _key(latency: Latency, report: Report) -> tuple[str, str, str]:
    """What was not measured stands where it was asked for."""
    here = latency.device == LOCAL
    kind = latency.where if latency.where in ("host", "device", "reference") else ("host" if here else "device")
    return kind, latency.device, (latency.machine or report.machine) if here else ""


def _of_facts(facts: DeviceFacts, report: Report) -> tuple[str, str, str]:
    """Of a host those of the machine that its latencies name: it need not be the one that writes the report."""
    if facts.spec != LOCAL:
        return "device", facts.spec, ""
    hosts = (x.machine for x in report.latencies if x.device == LOCAL and x.where == "host" and x.machine)
    return "host", LOCAL, next(hosts, report.machine)


def _place(report: Report, key: tuple[str, str, str], found: tuple[Latency, ...]) -> Place:
    facts = next((facts for facts in report.devices if _of_facts(facts, report) == key), None)
    kind, device, machine = key
    return Place(kind, device, machine, _name(report, key, facts, found), facts, found)


def _name(report: Report, key: tuple[str, str, str], facts: DeviceFacts | None, found: tuple[Latency, ...]) -> str:
    kind, device, machine = key
    if kind == "host" and machine == report.machine:
        return f"{HERE} (host)"
    told = (facts.name if facts else "") or machine or next((x.machine for x in found if x.machine), "") or device
    return f"{words.plain(told)} ({'reference evaluator' if kind == 'reference' else kind})"
