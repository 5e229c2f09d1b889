"""Whether a figure of two runs differs by more than its measurement does from one time to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgevit.checks.statistics import LEVEL, mcnemar


@dataclass(frozen=True)
class Told:
    """`changed` is None where it cannot be told, which is no more than noise; `how` names the test, with its p."""

    changed: bool | None
    how: str


def parted(before: tuple[int, int], after: tuple[int, int]) -> Told:
    """Two models on the same images, each by how many right answers of a third it lost and how many it won.

    How many images the two part on themselves was not kept, but between which numbers it lies follows. The more of them, the
    less a difference means: McNemar's exact test is made with the most and with the fewest.
    """
    (lost, won), (lost_after, won_after) = before, after
    worse, better = lost_after + won, lost + won_after
    most = mcnemar(worse, better)
    shared = min(lost, lost_after) + min(won, won_after)
    fewest = mcnemar(worse - shared, better - shared)
    if most < LEVEL:
        return Told(True, f"McNemar, exact: p at most {most:.2g}")
    if fewest >= LEVEL:
        return Told(False, f"McNemar, exact: p at least {fewest:.2g}")
    return Told(None, f"McNemar, exact: p between {fewest:.2g} and {most:.2g}, by which images the two part on")


def counted(before: tuple[int, int], after: tuple[int, int]) -> Told:
    """Two shares, each as a count and of how many images, that need not be the same images (Fisher 1935, two-sided)."""
    p = fisher(before[0], before[1] - before[0], after[0], after[1] - after[0])
    return Told(p < LEVEL, f"Fisher, exact: p = {p:.2g}")


def fisher(a: int, b: int, c: int, d: int) -> float:
    """Two-sided p of Fisher's exact test of the table ((a, b), (c, d)): that of all with its margins that are no likelier."""
    row, column, n = a + b, a + c, a + b + c + d
    whole = _log_choose(n, column)
    ways = [
        math.exp(_log_choose(row, k) + _log_choose(n - row, column - k) - whole)
        for k in range(max(0, column + row - n), min(row, column) + 1)
    ]
    here = ways[a - max(0, column + row - n)]
    return min(1.0, math.fsum(p for p in ways if p <= here * (1 + 1e-7)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def spread(before: Sequence[float], after: Sequence[float]) -> Told:
    """One value from each launch: changed where all of one run lie above all of the other, and chance seldom does that."""
    if not before or not after:
        return Told(None, "one of them tells no single launches")
    apart = max(before) < min(after) or max(after) < min(before)
    if not apart:
        return Told(False, f"launches overlap: {_range(before)} and {_range(after)}")
    p = 2 / math.comb(len(before) + len(after), len(before))
    words = f"launches are apart, {len(before)} and {len(after)} of them: p = {p:.2g} by permutation"
    return Told(True, words) if p < LEVEL else Told(None, f"{words}, too few to tell")


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}"
