"""Limits beside their figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import targets
from edgevit.held import said
from edgevit.types import Artifact, Bench, CheckResult, Held, Latency, Limits, Outcome, Road, RoadDevice

OF_FILE = ("size_mb", "drop", "agreement", "outside")
"""Figures that an artifact has wherever it is measured: these limits hold for it once, unless a device has its own."""
AT_LEAST = ("agreement",)
NOBODY_RAN = (Outcome.UNCHECKED, Outcome.SKIPPED)


def held(road: Road, artifacts: Sequence[Artifact], benches: Sequence[Bench]) -> tuple[Held, ...]:
    """Every limit of the road, in the order of its artifacts and devices."""
    found: list[Held] = []
    for artifact in artifacts:
        found += _of_file(road, artifact)
        for device, bench in zip(road.devices, benches, strict=True):
            found += _on_device(road, artifact, device, bench)
    return tuple(found)


def _of_file(road: Road, artifact: Artifact) -> list[Held]:
    limits = road.limits.of(artifact.name)
    figures = {name: figure(artifact, name) for name in OF_FILE}
    reason = artifact.reason or artifact.delegation.reason or "the target counts none"
    return [
        _beside(artifact.name, "", "", n, x, limits, road.allow_unmeasured, reason)
        for n, x in figures.items()
        if _said(limits, n)
    ]


def _on_device(road: Road, artifact: Artifact, device: RoadDevice, bench: Bench) -> list[Held]:
    limits = road.limits.of(artifact.name).under(device.limits.of(artifact.name))
    own = device.limits.of(artifact.name)
    names = [f.name for f in dataclasses.fields(Limits) if _said(own if f.name in OF_FILE else limits, f.name)]
    allowed = device.allow_unmeasured or (road.allow_unmeasured and artifact.outcome in NOBODY_RAN)
    latencies = [x for x in bench.latencies if Path(x.artifact).name == artifact.name]
    if not latencies:
        reason = bench.device.reason or artifact.reason or artifact.outcome.value
        return [_beside(artifact.name, device.name, "", name, None, limits, allowed, reason) for name in names]
    return [
        _beside(artifact.name, device.name, x.unit.value, name, value(x, artifact, name), limits, allowed, why(x, name))
        for x in latencies
        for name in names
    ]


def _said(limits: Limits, name: str) -> bool:
    """An infinite limit takes a common one back."""
    limit = getattr(limits, name)
    return limit is not None and not math.isinf(limit)


def _beside(
    artifact: str, device: str, unit: str, name: str, value: float | None, limits: Limits, allowed: bool, reason: str
) -> Held:
    limit = float(getattr(limits, name))
    if value is None:
        holds = None if allowed else False
        return Held(artifact, device, unit, name, limit, None, holds, reason)
    # Figures are sums and quotients of floats: one that equals its limit on paper may be above it by a last digit.
    near = math.isclose(value, limit, rel_tol=1e-9, abs_tol=1e-9)
    return Held(artifact, device, unit, name, limit, value, near or (value >= limit if name in AT_LEAST else value <= limit))


def figure(artifact: Artifact, name: str) -> float | None:
    """A figure of an artifact by the name of its limit, in the limit's unit; None where it was not measured.

    Nodes outside are those besides the delegate's own call, which ExecuTorch counts among them.
    """
    if name == "size_mb":
        return None if artifact.bytes is None else artifact.bytes / 1e6
    if name == "outside":
        known = artifact.target in targets.NAMES  # another version of edgevit may have made it
        outside, calls = artifact.delegation.outside, targets.get(artifact.target).max_outside if known else 0
        return None if outside is None else float(max(0, outside - (calls or 0)))
    return _answered(artifact, name)


def _answered(answers: Artifact | CheckResult | None, name: str) -> float | None:
    if answers is None:
        return None
    if name == "agreement":
        return answers.agreement
    if answers.top1 is None or answers.reference_top1 is None:
        return None
    return 100 * (answers.reference_top1 - answers.top1)


def value(latency: Latency, artifact: Artifact, name: str) -> float | None:
    """A figure of an artifact on a unit of a device."""
    if name in ("size_mb", "outside"):
        return figure(artifact, name)
    if name in ("drop", "agreement"):
        return _answered(latency.answers, name)
    if name == "peak_mb":
        return None if latency.peak_bytes is None else latency.peak_bytes / 1e6
    return {"p50_ms": latency.p50_ms, "p90_ms": latency.p90_ms, "energy_mj": latency.millijoules}[name]


def why(latency: Latency, name: str) -> str:
    """Why a figure may be missing there."""
    if latency.reason:
        return latency.reason
    if name in ("drop", "agreement"):
        return latency.unanswered or (latency.answers.reason if latency.answers else "") or "no images were answered there"
    return "the device does not tell it"


def viewed(artifact: Artifact, found: Sequence[Held]) -> Artifact:
    """The artifact as its limits leave it: OVER_BUDGET where it passed otherwise, with every broken limit as the reason."""
    broken = [said(one) for one in found if one.artifact == artifact.name and one.holds is False]
    if not broken or artifact.outcome is not Outcome.PASS:
        return artifact
    return dataclasses.replace(artifact, outcome=Outcome.OVER_BUDGET, reason="; ".join(broken))
