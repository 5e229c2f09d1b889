"""Which of two latencies is the lower, where that can be told.

A process that is started again, with its memory elsewhere, is up to some per cent faster or slower all its life, and the runs
within it are no independent samples of that (Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013). So the
interval of a median is that from launch to launch, by order statistics, which asks nothing of how they are distributed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgevit.types import Latency

CONFIDENCE = 0.95


def interval(centres: Sequence[float]) -> tuple[float, float] | None:
    """The ends of the narrowest pair of order statistics that holds the median in at least 95 of 100 cases.

    None for fewer than 6 values, whose whole range holds it less often.
    """
    ordered, n = sorted(centres), len(centres)
    inside = [k for k in range(n // 2) if coverage(n, k) >= CONFIDENCE]
    return (ordered[inside[-1]], ordered[n - 1 - inside[-1]]) if inside else None


def coverage(n: int, k: int) -> float:
    """How often the median lies between the smallest but `k` and the largest but `k` of `n` values."""
    return 1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2.0**n


def lower(one: Latency, other: Latency) -> bool | None:
    """Whether `one` takes less time than `other`; None where their intervals meet, or one has none: it cannot be told."""
    if None in (one.low_ms, one.high_ms, other.low_ms, other.high_ms):
        return None
    assert one.low_ms is not None and one.high_ms is not None and other.low_ms is not None and other.high_ms is not None
    if one.high_ms < other.low_ms:
        return True
    return False if other.high_ms < one.low_ms else None


@dataclass(frozen=True)
class Place:
    """A latency in the order of medians; `level` are those it cannot be told from, by their places in that order."""

    latency: Latency
    level: tuple[int, ...]


def ranked(latencies: Sequence[Latency]) -> tuple[Place, ...]:
    """What was measured, the lowest median first."""
    order = sorted((x for x in latencies if x.p50_ms is not None), key=lambda x: x.p50_ms or 0.0)
    return tuple(
        Place(one, tuple(at for at, other in enumerate(order) if other is not one and lower(one, other) is None)) for one in order
    )
