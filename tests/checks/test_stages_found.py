"""Tensors found by their values, and the operator that is to blame."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from edgevit.checks import bisect
from edgevit.types import Bisected, Computed, Sided, StageError

RANDOM = np.random.default_rng(0)
DEPTH, TOKENS, WIDTH = 5, 6, 8


class Toy:
    """Stages of a residual stream; `half` is what a file holds in the middle of one."""

    names = (*(f"block {number}" for number in range(DEPTH)), "logits")

    def __init__(self) -> None:
        self.maps = [(RANDOM.normal(size=(WIDTH, WIDTH)), RANDOM.normal(size=(WIDTH, WIDTH))) for _ in range(DEPTH)]

    def start(self, image: np.ndarray) -> np.ndarray:
        return image

    def half(self, number: int, x: np.ndarray) -> np.ndarray:
        return x + np.tanh(x @ self.maps[number][0])

    def step(self, number: int, x: np.ndarray) -> np.ndarray:
        if number == DEPTH:
            return x.mean(0, keepdims=True)
        middle = self.half(number, x)
        return middle + np.tanh(middle @ self.maps[number][1])

    def value(self, x: np.ndarray) -> np.ndarray:
        return x

    def instead(self, x: np.ndarray, value: np.ndarray) -> np.ndarray:
        return value

    def inside(self, number: int, x: np.ndarray) -> list[np.ndarray]:
        return [self.half(number, x), self.step(number, x)]


def _file(
    twin: Toy, image: np.ndarray, change: Callable[[int, np.ndarray], np.ndarray]
) -> tuple[dict[int, np.ndarray], list[int]]:
    """Values in another layout, each stream twice, at places that say nothing; and the places of the streams."""
    places = itertools.cycle(RANDOM.permutation(1000).tolist())
    values, streams, x = {}, [], image
    for number in range(DEPTH):
        values[next(places)] = twin.half(number, x).T[None]
        x = change(number, twin.step(number, x))
        streams.append(next(places))
        values[streams[-1]] = x.T[:, None]
        values[next(places)] = x[None]
    streams.append(next(places))
    values[streams[-1]] = twin.step(DEPTH, x)
    return values, streams


@pytest.mark.parametrize(
    ("wrong", "how"),
    [((), 1.0), *itertools.product([(0,), (2,), (4,), (1, 3)], [-0.7, 1.4, 30.0]), ((2, 3), 1.4)],
)
def test_stages_are_found_though_some_are_wrong(wrong: tuple[int, ...], how: float) -> None:
    twin, image = Toy(), RANDOM.normal(size=(TOKENS, WIDTH))
    values, streams = _file(twin, image, lambda number, x: x * how if number in wrong else x)
    found = bisect.located(twin, image, values, streams[-1])
    assert [one.place if one else None for one in found] == streams
    turned = [one.turned(values[one.place], (TOKENS, WIDTH)) for one in found[:-1] if one]
    own = [bisect.relative_error(x, twin.step(n, turned[n - 1] if n else image)) for n, x in enumerate(turned)]
    assert [number for number, error in enumerate(own) if error > 1e-6] == list(wrong)


def test_a_stage_that_is_not_there_is_not_taken_for_another() -> None:
    twin, image = Toy(), RANDOM.normal(size=(TOKENS, WIDTH))
    values, streams = _file(twin, image, lambda _, x: x)
    gone = values[streams[2]][:, 0].T
    left = {place: value for place, value in values.items() if value.size != gone.size or not np.allclose(_rows(value), gone)}
    found = bisect.located(twin, image, left, streams[-1])
    assert [one.place if one else None for one in found] == [*streams[:2], None, *streams[3:]]


def _rows(value: np.ndarray) -> np.ndarray:
    plain = np.squeeze(value)
    return plain if plain.shape == (TOKENS, WIDTH) else plain.T


def test_what_is_no_number_is_far() -> None:
    broken = np.full((3, 4), np.nan)
    assert bisect.fit(0, broken, np.ones((3, 4))).error == float("inf")  # type: ignore[union-attr]
    sums = bisect.Sums()
    sums.add(broken, np.ones((3, 4)))
    assert sums.error == bisect.BEYOND and bisect.fit(0, np.ones((3, 4)), np.ones((4, 4))) is None


def _chain(*reads: tuple[int, ...]) -> list[Computed]:
    return [Computed(place, f"op {place}", "op", (4,), given) for place, given in enumerate(reads)]


def test_another_wording_is_excused_and_damage_is_not() -> None:
    """0 -> 1 -> 2 -> 3: what the twin has no tensor for is no fault where all behind it is as it should be."""
    chain = _chain((), (0,), (1,), (2,))
    twins = [RANDOM.normal(size=4) for _ in range(3)]
    foreign = RANDOM.normal(size=4)
    reworded = {0: twins[0], 1: foreign, 2: twins[1], 3: twins[2] + 5}
    found = bisect.culprit(chain, reworded, twins, 3, 0.1)
    assert found and found[0].place == 3 and found[1] > 0.1
    damaged = {0: twins[0], 1: foreign, 2: twins[1] + 5, 3: twins[2] + 5}
    assert (found := bisect.culprit(chain, damaged, twins, 3, 0.1)) and found[0].place == 1
    assert bisect.culprit(chain, {0: twins[0], 1: foreign, 2: twins[1], 3: twins[2]}, twins, 3, 0.1) is None


def test_what_does_not_lead_to_the_end_is_not_blamed() -> None:
    chain = _chain((), (), (0,))
    twins = [RANDOM.normal(size=4) for _ in range(2)]
    values = {0: twins[0], 1: RANDOM.normal(size=4), 2: twins[1] * 2}
    assert (found := bisect.culprit(chain, values, twins, 2, 0.1)) and found[0].place == 2


def _sided(*errors: tuple[float | None, float | None]) -> Sided:
    stages = tuple(StageError(f"block {n}", own, whole) for n, (own, whole) in enumerate(errors))
    return Sided("folder", "name", "words", 1, 0.1, 0.01, stages)


def test_where_a_side_parts() -> None:
    assert _sided((0.001, 0.5), (0.001, 0.09)).parts == "", "what was on the way is made good at the end"
    assert _sided((0.001, 0.001), (0.02, 0.05)).parts == "block 1"
    assert _sided((None, None), (0.001, 0.2)).parts == "block 1"


def test_where_two_part() -> None:
    good, bad = _sided((0.001, 0.01), (0.001, 0.01)), _sided((0.001, 0.01), (0.5, 0.5))
    assert Bisected((good, good), (0.1, 0.3), 0.2).parts == "block 1"
    assert Bisected((good, bad), (0.1, None), 0.2).parts == "block 1"
    assert Bisected((good, good), (None, 0.1), 0.2).parts == ""
