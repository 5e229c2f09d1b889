"""Artifacts on the devices of a road: measured, or as they were measured before where nothing has changed since."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgevit import cache as caches
from edgevit.cache import Cache
from edgevit.errors import BadInput, EdgevitError
from edgevit.pipeline import benching, contents
from edgevit.pipeline.how import now
from edgevit.types import Artifact, Bench, DeviceFacts, Latency, Progress, Reused, RoadDevice
from edgevit.versions import machine, sources, versions

STAGE = "bench"


@dataclass(frozen=True)
class Kept:
    """What was measured of one artifact on one device, when, and what the device then said of itself."""

    latencies: tuple[Latency, ...]
    made: str
    device: DeviceFacts


def measured(
    made: list[Artifact], device: RoadDevice, checkpoint: Path, cache: Cache | None, anew: bool, progress: Progress
) -> tuple[Bench, list[Reused]]:
    """Every artifact that has a file on one device, in the order of `made`, and what of it was not measured now.

    A device that cannot be reached stops nobody: its figures are not measured, and say why.
    """
    whole = [artifact for artifact in made if artifact.file]
    found = facts(device.name)
    known = {} if anew or found is None or found.reason else _known(whole, device, found, cache)
    left = [artifact for artifact in whole if artifact.name not in known]
    bench = _measured(left, device, found, checkpoint, progress) if left else _nothing(device, found, known)
    fresh = _by_artifact(left, bench)
    if cache and found and not bench.device.reason:
        for artifact in left:
            _keep(cache, _key(artifact, device, found), Kept(fresh[artifact.name], bench.made or now(), bench.device))
    every = {**{name: kept.latencies for name, kept in known.items()}, **fresh}
    latencies = tuple(_here(one, artifact) for artifact in whole for one in every[artifact.name])
    when = max((kept.made for kept in known.values()), default="")
    bench = dataclasses.replace(bench, latencies=latencies, made=bench.made or when)
    return bench, [Reused(f"{name} on {device.name}", kept.made) for name, kept in known.items()]


def facts(device: str) -> DeviceFacts:
    """What a device says of itself now, or why it does not."""
    return benching.facts(device)


def _measured(left: list[Artifact], device: RoadDevice, found: DeviceFacts | None, checkpoint: Path, progress: Progress) -> Bench:
    if found and found.reason:  # then it need not be tried
        return _unmeasured(left, device, found)
    try:
        return benching.bench([a.folder for a in left], device.name, device.rules, checkpoint, progress)
    except BadInput:
        raise
    except EdgevitError as error:
        return _unmeasured(left, device, DeviceFacts(device.name, reason=error.message, hint=error.hint))


def _unmeasured(left: list[Artifact], device: RoadDevice, found: DeviceFacts) -> Bench:
    nothing = [Latency(str(a.folder), "none", reason=found.reason, failed=True, device=found.spec) for a in left]
    return Bench(found, device.rules, tuple(nothing))


def _nothing(device: RoadDevice, found: DeviceFacts | None, known: dict[str, Kept]) -> Bench:
    """A bench of which nothing was left to measure, on the device as it was measured."""
    facts = next((kept.device for kept in known.values()), found or DeviceFacts(device.name))
    return Bench(facts, device.rules, ())


def _by_artifact(left: list[Artifact], bench: Bench) -> dict[str, tuple[Latency, ...]]:
    """What a bench found, by the names of the artifacts; of one that it is silent about, that it was not measured."""
    found = {a.name: tuple(x for x in bench.latencies if Path(x.artifact) == a.folder) for a in left}
    reason = bench.device.reason or "the device offers nothing that runs it"
    return {a.name: found[a.name] or (Latency(str(a.folder), "none", reason=reason, device=bench.device.spec),) for a in left}


def _here(latency: Latency, artifact: Artifact) -> Latency:
    """With the artifact where it lies now."""
    return dataclasses.replace(latency, artifact=str(artifact.folder))


def _key(artifact: Artifact, device: RoadDevice, found: DeviceFacts) -> str:
    """The hash of all that a measurement depends on, and that can be told beforehand."""
    identity = (artifact.sha256, artifact.identity, artifact.checkpoint_sha256, artifact.origin_sha256, artifact.data_sha256)
    facts = dataclasses.replace(found, reason="", hint="")
    here = {"sources": sources(), "versions": versions(*found.runtimes), "machine": machine()}
    depends = {"artifact": identity, "name": artifact.name, "device": device.name, "facts": facts, "rules": device.rules}
    return caches.key({"stage": STAGE, **depends, **here})


def _known(whole: list[Artifact], device: RoadDevice, found: DeviceFacts, cache: Cache | None) -> dict[str, Kept]:
    known = {}
    for artifact in whole if cache else ():
        assert cache
        if kept := contents.taken(cache, _key(artifact, device, found), Kept):
            known[artifact.name] = kept
    return known


def _keep(cache: Cache, name: str, kept: Kept) -> None:
    """What broke is measured anew the next time; that a device does not run a model is kept."""
    if not any(latency.failed for latency in kept.latencies):
        contents.keep(cache, name, STAGE, kept)
