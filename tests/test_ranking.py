"""Intervals of medians, and what may be said of two of them."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import pytest

from edgevit import ranking
from edgevit.types import Latency


def measured(centre: float, low: float, high: float) -> Latency:
    return Latency(str(centre), "host", centre, low_ms=low, high_ms=high)


def test_five_values_give_no_interval_and_six_give_their_range() -> None:
    assert ranking.interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert ranking.interval([6.0, 1.0, 3.0, 2.0, 5.0, 4.0]) == (1.0, 6.0)


@pytest.mark.parametrize(("n", "rank"), [(8, 0), (9, 1), (12, 2), (15, 3), (20, 5)])
def test_more_values_leave_out_the_outermost(n: int, rank: int) -> None:
    """The ranks of the tables for the sign test's interval at 95 %."""
    assert ranking.interval([float(i) for i in range(n)]) == (rank, n - 1 - rank)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    """2,000 samples of 9 from a skewed distribution whose median is known."""
    draw = random.Random(0)
    held = 0
    for _ in range(2000):
        low, high = ranking.interval([draw.expovariate(1.0) for _ in range(9)]) or (0.0, 0.0)
        held += low <= 0.6931471805599453 <= high
    expected = ranking.coverage(9, 1)
    assert expected > 0.95 and abs(held / 2000 - expected) < 4 * (expected * (1 - expected) / 2000) ** 0.5


def test_what_cannot_be_told_is_not_told() -> None:
    one, other, third = measured(1.0, 0.9, 1.1), measured(1.2, 1.05, 1.3), measured(2.0, 1.9, 2.1)
    assert ranking.lower(one, other) is None and ranking.lower(other, one) is None
    assert ranking.lower(one, third) is True and ranking.lower(third, one) is False
    assert ranking.lower(one, replace(third, low_ms=None)) is None


def test_the_order_says_who_cannot_be_told_apart() -> None:
    one, other, third = measured(1.0, 0.9, 1.1), measured(1.2, 1.05, 1.3), measured(2.0, 1.9, 2.1)
    places = ranking.ranked([third, other, Latency("none", "none", reason="no"), one])
    assert [place.latency for place in places] == [one, other, third]
    assert [place.level for place in places] == [(1,), (0,), ()]


def test_of_two_that_are_alike_no_verdict_is_opposite_to_another() -> None:
    """Ten benches of the same two, whose launches differ by more than they themselves do."""
    draw, verdicts = random.Random(1), set()
    for _ in range(10):
        pair = []
        for centre in (10.0, 10.1):
            centres = [centre * draw.lognormvariate(0, 0.02) for _ in range(9)]
            low, high = ranking.interval(centres) or (0.0, 0.0)
            pair.append(measured(statistics.median(centres), low, high))
        verdicts.add(ranking.lower(*pair))
    assert verdicts <= {None, True} or verdicts <= {None, False}
