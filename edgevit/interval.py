"""How far a share counted on a few images may be from the truth."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""Standard normal quantile of 97.5 %."""


def wilson(share: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Low and high end of the Wilson score interval of `share` of `n` trials (Wilson 1927); 0..1 where `n` is 0.

    Unlike p +- z * sqrt(p (1 - p) / n) it stays inside 0..1 and does not shrink to nothing at a share of 0 or 1.
    """
    if n <= 0:
        return 0.0, 1.0
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
