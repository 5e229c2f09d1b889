"""What got worse from one run to another, by how much, and whether that is more than noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgevit.pipeline import changes
from edgevit.types import Artifact, Bench, Change, DeviceFacts, Diff, Latency, Replaced, RunRecord, Unit

Measured = tuple[Bench, Latency]


def diff(before: RunRecord, after: RunRecord) -> Diff:
    """Every figure that both runs have, or that only the earlier one has; then what else is another in the later one."""
    old, new = _artifacts(before), _artifacts(after)
    old_on, new_on = _measured(before), _measured(after)
    found: list[Change] = []
    for name in (name for name in new if name in old):
        found += changes.of_files(old[name], new[name])
        for key in (key for key in new_on if key in old_on and key[0] == name):
            apart = _apart(before, after, old_on[key], new_on[key])
            found += changes.on_device(key, (old[name], new[name]), (old_on[key][1], new_on[key][1]), apart)
    return Diff(
        str(before.folder),
        str(after.folder),
        tuple(found),
        added=tuple(_only(new, old, new_on, old_on)),
        removed=tuple(_only(old, new, old_on, new_on)),
        replaced=tuple(_replaced(before, after)),
    )


Key = tuple[str, str, Unit]


def _artifacts(run: RunRecord) -> dict[str, Artifact]:
    return {artifact.name: artifact for artifact in run.artifacts}


def _measured(run: RunRecord) -> dict[Key, Measured]:
    return {(Path(x.artifact).name, bench.device.spec, x.unit): (bench, x) for bench in run.benches for x in bench.latencies}


def _only(
    mine: Mapping[str, Artifact], others: Mapping[str, Artifact], on: Mapping[Key, Measured], others_on: Mapping[Key, Measured]
) -> Iterator[str]:
    """Artifacts, and artifacts on units of devices, that only one of two runs has."""
    yield from (name for name in mine if name not in others)
    for key in on:
        if key not in others_on and key[0] in others and key[0] in mine:
            yield f"{key[0]} on {key[1]} ({key[2].value})"


def _apart(before: RunRecord, after: RunRecord, old: Measured, new: Measured) -> str:
    """Why what was measured there cannot be compared; empty where it can."""
    facts = _facts(old[0].device), _facts(new[0].device)
    if old[0].device.reason or new[0].device.reason:
        return ""  # then nothing was measured, and that is what there is to say
    if other := [name for name in facts[0] if facts[0][name] != facts[1][name] and name != "runtimes"]:
        return f"another device: {', '.join(f'{name} {facts[0][name]} and {facts[1][name]}' for name in other)}"
    if old[0].device.spec == "local" and before.machine != after.machine:
        return f"another machine: {before.machine} and {after.machine}"
    if (threads := (old[1].threads, new[1].threads))[0] != threads[1]:
        return f"other threads: {threads[0] or 'its own'} and {threads[1] or 'its own'}"
    return ""


def _facts(device: DeviceFacts) -> dict[str, object]:
    return {name: value for name, value in vars(device).items() if name not in ("reason", "hint")}


def _replaced(before: RunRecord, after: RunRecord) -> Iterator[Replaced]:
    plain = [("machine", before.machine, after.machine), ("checkpoint", before.checkpoint_sha256, after.checkpoint_sha256)]
    yield from (Replaced(what, old[:60], new[:60]) for what, old, new in plain if old != new)
    if before.sources != after.sources:
        yield Replaced("edgevit's sources", before.sources[:12], after.sources[:12])
    yield from _other_versions("", before.versions, after.versions)
    old = {bench.device.spec: bench for bench in before.benches}
    for bench in after.benches:
        if earlier := old.get(bench.device.spec):
            yield from _of_device(earlier, bench)


def _of_device(before: Bench, after: Bench) -> Iterator[Replaced]:
    spec = after.device.spec
    yield from _other_versions(f"{spec}: ", before.device.runtimes, after.device.runtimes)
    facts = _facts(before.device), _facts(after.device)
    for name in facts[0]:
        if name != "runtimes" and facts[0][name] != facts[1][name]:
            yield Replaced(f"{spec}: {name}", str(facts[0][name]), str(facts[1][name]))
    for rule in dataclasses.fields(before.rules):
        if (old := getattr(before.rules, rule.name)) != (new := getattr(after.rules, rule.name)):
            yield Replaced(f"{spec}: {rule.name}", str(old), str(new))


def _other_versions(where: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Replaced]:
    for name in sorted({*before, *after}):
        if (old := before.get(name, "none")) != (new := after.get(name, "none")):
            yield Replaced(f"{where}{name}", old, new)
