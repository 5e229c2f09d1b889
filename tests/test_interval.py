"""Wilson's interval, against published figures and its own definition."""

from __future__ import annotations

import math

import pytest

from edgevit.interval import Z95, wilson


def test_it_is_the_published_one() -> None:
    """Newcombe 1998, table I: 81 of 263, and 15 of 148, 0 of 20, 1 of 29."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, n), ends in published.items():
        assert wilson(hits / n, n) == pytest.approx(ends, abs=5e-5)


@pytest.mark.parametrize(("share", "n"), [(0.97, 360), (0.5, 10), (0.02, 1000)])
def test_each_end_is_the_share_that_a_score_test_just_accepts(share: float, n: int) -> None:
    for end in wilson(share, n):
        assert abs(share - end) == pytest.approx(Z95 * math.sqrt(end * (1 - end) / n))


def test_it_stays_inside_and_says_nothing_about_nothing() -> None:
    assert wilson(1.0, 50)[1] == pytest.approx(1.0)
    assert 0 < wilson(1.0, 50)[0] < 1
    assert wilson(0.9, 0) == (0.0, 1.0)
