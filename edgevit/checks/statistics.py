"""How much a count of images may differ."""

from __future__ import annotations

import math


def allowed(fraction: float, n: int) -> int:
    """How many of `n` images may differ under a bound of `fraction`: a set too small to show it may differ in one, not in all."""
    return min(max(1, math.floor(fraction * n + 1e-9)), n - 1)
