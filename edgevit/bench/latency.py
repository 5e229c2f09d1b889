"""Latency of several runners, interleaved, so that a noisy minute falls on all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from edgevit.types import Progress


def interleaved(
    calls: Mapping[str, Callable[[], object]], runs: int, warmup: int, progress: Progress, primed: float | None = None
) -> tuple[dict[str, list[float]], dict[str, Exception]]:
    """Milliseconds of `runs` calls of each, one of each in turn, after `warmup` rounds; and those that raised, with what.

    One that raises is left out from then on. `primed`: before each timed call it is called untimed for so many seconds, once at
    the least, so that its own caches are warm and threads of the one before, which may spin on, have stopped.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    broken: dict[str, Exception] = {}
    for turn in range(warmup + runs):
        for name in [name for name in calls if name not in broken]:
            try:
                if primed is not None:
                    _prime(calls[name], primed)
                started = time.perf_counter()
                calls[name]()
            except Exception as error:  # of a runtime, which may raise anything
                broken[name] = error
                continue
            if turn >= warmup:
                times[name].append(1000 * (time.perf_counter() - started))
        progress("measuring latency", turn + 1, warmup + runs)
    return times, broken


def _prime(call: Callable[[], object], seconds: float) -> None:
    until = time.perf_counter() + seconds
    call()
    while time.perf_counter() < until:
        call()


def percentile(times: Sequence[float], fraction: float) -> float:
    """The smallest of `times` that at least `fraction` of them do not exceed (nearest rank)."""
    return sorted(times)[max(0, math.ceil(fraction * len(times)) - 1)]
