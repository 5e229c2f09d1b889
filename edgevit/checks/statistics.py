"""How sure a count of right answers is."""

from __future__ import annotations

import math


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % Wilson interval of right / n (Wilson, 1927): (low, high), fractions of 1; (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    p, zz = right / n, z * z
    centre = (p + zz / (2 * n)) / (1 + zz / n)
    half = z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n)) / (1 + zz / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def allowed(fraction: float, n: int) -> int:
    """How many of `n` images may differ under a bound of `fraction`: a set too small to show it may differ in one."""
    return max(1, math.floor(fraction * n + 1e-9))
