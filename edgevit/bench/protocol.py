"""How latency is measured: launches of every artifact in turn, until the interval of each median is narrow or a limit is reached.

In each round every artifact is launched once, in an order that is drawn anew, so that a noisy minute, a warm processor or a
neighbour falls on all of them alike, and no two of them are in memory at once. What a launch takes is counted on the device.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgevit import ranking
from edgevit.bench.latency import percentile
from edgevit.errors import DeviceFault, DeviceLost
from edgevit.types import Asked, BenchRules, Device, Latency, Launch, Model, Progress, Unit

BUSY = 0.1
"""The share of the processor that others may take before it is worth a word."""


@dataclass
class Run:
    """A model on one unit, with the launches so far. `fault` ends it."""

    model: Model
    unit: Unit
    launches: list[Launch] = field(default_factory=list)
    fault: str = ""

    def centres(self) -> list[float]:
        return [centre for launch in self.launches if (centre := centre_of(launch)) is not None]

    def narrow(self, rules: BenchRules) -> bool:
        spread = half_width(self.centres())
        return spread is not None and spread <= rules.narrow


def centre_of(launch: Launch) -> float | None:
    """Its median in milliseconds, or what its tool tells in place of one."""
    return statistics.median(launch.times_ms) if launch.times_ms else launch.centre_ms


def half_width(centres: Sequence[float]) -> float | None:
    """Half of the interval of the median, as a share of it; None for too few launches."""
    ends = ranking.interval(centres)
    return (ends[1] - ends[0]) / 2 / statistics.median(centres) if ends else None


def measure(device: Device, models: Sequence[Model], rules: BenchRules, progress: Progress) -> tuple[Run, ...]:
    """Every model on every unit that the device offers for it and the rules ask for."""
    runs = [Run(model, unit) for model in models for unit in _units(device, model, rules)]
    _sent(device, runs, progress)
    ends = time.monotonic() + rules.seconds
    for turn in range(rules.most_launches):
        left = [run for run in runs if not run.fault and (turn < rules.launches or not run.narrow(rules))]
        if not left or (turn >= rules.launches and time.monotonic() > ends):
            break
        random.Random(rules.seed + turn).shuffle(left)
        for at, run in enumerate(left):
            progress(f"{device.facts.spec}: round {turn + 1}", at, len(left))
            _launch(device, run, runs, rules)
        progress(f"{device.facts.spec}: round {turn + 1}", len(left), len(left))
    return tuple(runs)


def _units(device: Device, model: Model, rules: BenchRules) -> tuple[Unit, ...]:
    offered = device.units(model)
    return tuple(unit for unit in offered if not rules.units or unit in rules.units)


def _sent(device: Device, runs: Sequence[Run], progress: Progress) -> None:
    for run in runs:
        try:
            device.send(run.model, progress)
        except DeviceLost as error:
            _all_lost(runs, error)
        except DeviceFault as error:
            run.fault = error.message


def _launch(device: Device, run: Run, runs: Sequence[Run], rules: BenchRules) -> None:
    """One more launch. What goes wrong ends this run, and where the device is lost, all of them; what was measured stays."""
    if run.fault:
        return
    try:
        run.launches.append(device.launch(run.model, asked(run.unit, rules)))
    except DeviceLost as error:
        _all_lost(runs, error)
    except DeviceFault as error:
        run.fault = error.message


def _all_lost(runs: Sequence[Run], error: DeviceLost) -> None:
    for run in runs:
        run.fault = run.fault or error.message


def asked(unit: Unit, rules: BenchRules) -> Asked:
    """What each launch is asked for, so that all of them together have as many runs as the rules want."""
    return Asked(unit, rules.threads, math.ceil(rules.runs / rules.launches), rules.warmup, rules.affinity)


def summary(run: Run, device: Device, where: str, machine: str, rules: BenchRules) -> Latency:
    """A run in figures. One without a whole launch was not measured, and its fault says why."""
    shared = Latency(run.model.artifact, "none", device=device.facts.spec, unit=run.unit, machine=machine)
    centres = run.centres()
    if not centres:
        return replace(shared, reason=run.fault or "it told no times", failed=True)
    times = [one for launch in run.launches for one in launch.times_ms]
    p90, p99 = (percentile(times, share) if times else None for share in (0.9, 0.99))
    low, high = ranking.interval(centres) or (None, None)
    return replace(
        shared, where=where, p50_ms=statistics.median(centres), p90_ms=p90, p99_ms=p99, low_ms=low, high_ms=high,
        runs=sum(launch.runs for launch in run.launches), warmup=rules.warmup, threads=run.launches[0].threads,
        launches=tuple(run.launches), noise=noise(run, rules), reason=run.fault, failed=bool(run.fault),
    )  # fmt: skip


def noise(run: Run, rules: BenchRules) -> str:
    """Why the median is not known as well as the rules ask; empty where it is."""
    if run.narrow(rules):
        return ""
    spread, launches = half_width(run.centres()), len(run.launches)
    if spread is None:
        return f"only {launches} launches, of which no interval follows"
    busy = [launch.after.busy for launch in run.launches if launch.after and launch.after.busy is not None]
    others = f"; other programs took {100 * max(busy):.0f} % of the processor at times" if max(busy, default=0.0) > BUSY else ""
    return f"the median is known to {100 * spread:.1f} % after {launches} launches, not to {100 * rules.narrow:g} %{others}"
