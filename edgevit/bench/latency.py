"""Latency of several runners, interleaved, so that a noisy minute falls on all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from edgevit.types import Progress, Runner

WARMUP = 10
RUNS = 100
LEAST_RUNS = 50


def interleaved(
    runners: Mapping[str, Runner], images: Mapping[str, np.ndarray], runs: int, warmup: int, progress: Progress
) -> dict[str, list[float]]:
    """Milliseconds of `runs` calls of each runner on its image (1, 3, H, W), one call of each in turn, after `warmup` rounds."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(warmup + runs):
        for name, runner in runners.items():
            started = time.perf_counter()
            runner(images[name])
            if turn >= warmup:
                times[name].append(1000 * (time.perf_counter() - started))
        progress("measuring latency", turn + 1, warmup + runs)
    return times


def percentile(times: Sequence[float], fraction: float) -> float:
    """The smallest of `times` that at least `fraction` of them do not exceed (nearest rank)."""
    return sorted(times)[max(0, math.ceil(fraction * len(times)) - 1)]
