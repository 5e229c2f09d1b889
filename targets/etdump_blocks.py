"""Which operators of a trace belong to which block of a Transformer: a delegate keeps no names of modules, but their order.

Every block but the last, of which less is asked, is the same row of kinds of operators. So the longest row that comes so many
times, one behind the other, is a block. An operator at its border, as an addition, may be its neighbour's.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgevit.types import BlockTime

Timed = tuple[str, float]
"""A kind of operator, and the milliseconds of one of that kind."""


def by_block(operators: Sequence[Timed], depth: int) -> tuple[BlockTime, ...]:
    """The operators in their order, by block of a model that is `depth` blocks deep; empty where they cannot be told apart."""
    kinds, alike = [kind for kind, _ in operators], depth - 1
    found = _repeated(kinds, alike) if alike > 1 else None
    if not found:
        return ()
    start, length = found
    ends = [start + length * number for number in range(alike + 1)]
    parts = [("before the blocks", 0, start), *((f"block {n}", ends[n], ends[n + 1]) for n in range(alike))]
    parts.append((f"block {alike} and the answer", ends[-1], len(operators)))
    return tuple(_part(name, operators[first:last]) for name, first, last in parts)


def _repeated(kinds: Sequence[str], times: int) -> tuple[int, int] | None:
    """Where the longest row begins that comes so many times, one behind the other, the earliest of them; and its length."""
    for length in range(len(kinds) // times, 0, -1):
        run = 0
        for at in range(len(kinds) - length):
            run = run + 1 if kinds[at] == kinds[at + length] else 0
            if run == length * (times - 1):
                return at - run + 1, length
    return None


def _part(name: str, operators: Sequence[Timed]) -> BlockTime:
    return BlockTime(name, len(operators), sum(milliseconds for _, milliseconds in operators))
