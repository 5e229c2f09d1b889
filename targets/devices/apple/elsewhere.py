"""What of a plan is on another unit than the one that was asked for, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from edgevit.types import Placed, Unit

MOST_KINDS = 5


def elsewhere(placed: Iterable[Placed], unit: Unit) -> str:
    """What is planned for another unit than the one asked for: "12 of 340 operators planned for CPU: softmax 3, ..."."""
    placed = tuple(placed)
    if unit is Unit.ALL:
        return ""
    others = Counter(one.unit for one in placed if one.unit is not unit)
    return "; ".join(_other(placed, other) for other, _ in others.most_common())


def _other(placed: tuple[Placed, ...], unit: Unit) -> str:
    kinds = Counter(one.operator for one in placed if one.unit is unit).most_common()
    listed = ", ".join(f"{kind} {count}" for kind, count in kinds[:MOST_KINDS])
    more = f" and {len(kinds) - MOST_KINDS} kinds more" if len(kinds) > MOST_KINDS else ""
    return f"{sum(count for _, count in kinds)} of {len(placed)} operators planned for {unit.upper()}: {listed}{more}"
