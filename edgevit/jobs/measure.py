"""Latency on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit.jobs.answers import load
from edgevit.types import Latency, Progress, Runner
from edgevit.versions import machine


def bench(folders: tuple[Path, ...], runs: int, warmup: int, threads: int, progress: Progress) -> list[Latency]:
    """Latency of the artifacts on this machine, interleaved; those that cannot run here say why."""
    import targets
    from edgevit.bench.latency import interleaved, percentile

    runners: dict[str, Runner] = {}
    images: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    for number, folder in enumerate(folders):
        progress("loading", number, len(folders))
        artifact = artifacts.read(folder)
        name, target = str(folder), targets.get(artifact.target)
        try:
            reasons[name] = target.not_here or ", ".join(f"{lib.module} is not installed" for lib in targets.missing(target))
            if not reasons[name]:
                artifacts.verify(artifact)
                runners[name], images[name] = load(artifact, threads), artifacts.read_golden(folder).images[:1]
                runners[name](images[name])
        except Exception as error:
            runners.pop(name, None)
            reasons[name] = f"{type(error).__name__}: {error}"
    progress("loading", len(folders), len(folders))
    times = interleaved(runners, images, runs, warmup, progress)
    found = []
    for name in map(str, folders):
        if name not in runners:
            found.append(Latency(name, "none", reason=reasons[name]))
            continue
        p50, p90, p99 = (percentile(times[name], f) for f in (0.5, 0.9, 0.99))
        where, used = runners[name].where, runners[name].threads
        found.append(Latency(name, where, p50, p90, p99, runs, warmup, used, machine()))
    return found
