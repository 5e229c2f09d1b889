"""What counts of images can tell, and how much they may differ."""

from __future__ import annotations

import math

from edgevit.interval import wilson

LEVEL = 0.05


def allowed(fraction: float, n: int) -> int:
    """How many of `n` images may differ under a bound of `fraction`: a set too small to show it may differ in one, not in all."""
    return min(max(1, math.floor(fraction * n + 1e-9)), n - 1)


def mcnemar(lost: int, won: int) -> float:
    """Two-sided p of the exact test (McNemar 1947, by the binomial distribution): each of the images that part is a fair coin."""
    n, fewer = lost + won, min(lost, won)
    ways = tail = 1
    for k in range(fewer):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**n)


def change(both: int, lost: int, won: int, neither: int) -> tuple[float, float]:
    """Ends of the 95 % interval of (won - lost) / n, two shares of the same n images (Newcombe 1998, method 10)."""
    n = both + lost + won + neither
    before, after = (both + lost) / n, (both + won) / n
    (low_before, high_before), (low_after, high_after) = wilson(before, n), wilson(after, n)
    phi = _correlation(both, lost, won, neither)
    down = _side(after - low_after, high_before - before, phi)
    up = _side(high_after - after, before - low_before, phi)
    return after - before - down, after - before + up


def _correlation(both: int, lost: int, won: int, neither: int) -> float:
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    cross = both * neither - lost * won
    half = (both + lost + won + neither) / 2
    corrected = cross - half if cross > half else min(cross, 0)
    return corrected / math.sqrt(margins) if margins else 0.0


def _side(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))


def visible(lost: int, won: int, n: int) -> float:
    """The least change of a share of `n` images that McNemar's test shows at 5 %, where as many part as did."""
    # The exact test is no bolder than the normal one, which shows 1.96 standard deviations: what is below need not be tried.
    for net in range(max(1, int(1.9 * math.sqrt(lost + won))), n + 1):
        parting = max(lost + won, net)
        parting += (parting + net) % 2
        worse = (parting + net) // 2
        if mcnemar(worse, parting - worse) < LEVEL:
            return net / n
    return 1.0
