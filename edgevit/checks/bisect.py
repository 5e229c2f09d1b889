"""Where a file parts from the model that it was written from: tensors found by their values, and errors told apart by stage."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgevit.checks.accuracy import relative_error
from edgevit.types import Computed, Twin

FEW = 12
"""Tensors of a file that are tried for one of the twin's, nearest first. Where none of them is near, all are."""
ODD = 0.1
"""An error at which a tensor is not near."""
SAME = 1e-3
"""Two tensors whose errors differ by no more are one tensor in two layouts."""
LEAST = 1e-9
"""Below all rounding."""
SKIPS = 0.1
"""A stage that the file does not show: the next one fits so much better without it than with whatever is there."""
BEYOND = 1e9
"""The error of what holds no numbers, and of all that is worse: a record has no infinity."""
EXCUSED = 0.1
"""Of the tolerance: a tensor that no twin has is another wording where all that is made of it is as near as this."""


@dataclass(frozen=True)
class Fit:
    """The tensor at `place` of a file as one of the twin's: its `axes` larger than 1 in this order, and how near it then is."""

    place: int
    axes: tuple[int, ...]
    error: float

    def turned(self, value: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """In the layout of the twin."""
        return np.squeeze(value).transpose(self.axes).reshape(shape)


def fit(place: int, value: np.ndarray, wanted: np.ndarray) -> Fit | None:
    """The order of axes in which `value` is nearest to `wanted`; None where no order has that shape."""
    plain, target = np.squeeze(value), np.squeeze(wanted)
    if sorted(plain.shape) != sorted(target.shape):
        return None
    orders = (order for order in itertools.permutations(range(plain.ndim)) if plain.transpose(order).shape == target.shape)
    fits = [Fit(place, order, relative_error(plain.transpose(order), target)) for order in orders]
    return min(fits, key=lambda found: found.error)


def fits(values: Mapping[int, np.ndarray], places: Sequence[int], wanted: np.ndarray) -> list[Fit]:
    """Of the values at `places`, in order, those that may be `wanted`: nearest first, of one in several layouts the first."""
    order = {place: number for number, place in enumerate(places)}
    found = [one for place in places if (one := fit(place, values[place], wanted))]
    found.sort(key=lambda one: one.error)
    kept: list[Fit] = []
    for _, group in itertools.groupby(found, key=_Near()):
        kept.append(min(group, key=lambda one: order[one.place]))
    return kept


class _Near:
    """Errors to the first of those that are as good as equal."""

    def __init__(self) -> None:
        self.last = -1.0

    def __call__(self, one: Fit) -> float:
        if not one.error <= self.last * (1 + SAME):
            self.last = one.error
        return self.last


def located(twin: Twin, image: np.ndarray, values: Mapping[int, np.ndarray], logits: int) -> list[Fit | None]:
    """The tensor of a file behind each stage of its twin, by their values for one image; None where it shows none.

    `values` are in order of execution. What is looked for is what the twin's stage makes of the file's own tensor before it, so a
    stage that is wrong does not hide those behind it. And which of several it is shows in the next stage: a tensor is the right
    one when what follows in the file follows from it. Two in a row that are far off may hide each other.
    """
    order = list(values)
    state, first = twin.start(image), 0
    found: list[Fit | None] = []
    for number in range(len(twin.names) - 1):
        due = twin.step(number, state)
        chosen = _chosen(twin, number, due, values, order[first:], logits)
        found.append(chosen)
        state = due
        if chosen:
            first = order.index(chosen.place) + 1
            state = twin.instead(due, chosen.turned(values[chosen.place], twin.value(due).shape))
    last = twin.step(len(twin.names) - 1, state)
    return [*found, fit(logits, values[logits], twin.value(last))]


def _chosen(twin: Twin, number: int, due: Any, values: Mapping[int, np.ndarray], places: list[int], logits: int) -> Fit | None:
    near = fits(values, places, wanted := twin.value(due))
    if not near:
        return None

    def follows(one: Fit) -> float:
        state = twin.instead(due, one.turned(values[one.place], wanted.shape))
        return _next(twin, number, state, values, places[places.index(one.place) + 1 :], logits)

    best, behind = _best(near[:FEW], follows)
    if best.error > ODD:
        best, behind = _best(near, follows)
    without = _next(twin, number, due, values, places, logits)
    return None if without < SKIPS * behind < float("inf") else best


def _best(tried: list[Fit], follows: Callable[[Fit], float]) -> tuple[Fit, float]:
    """The one that is near, or from which what follows does: one of both stages may be wrong. With how far what follows is."""
    pairs = [(one, follows(one)) for one in tried]
    return min(pairs, key=lambda pair: (pair[0].error + LEAST) * (pair[1] + LEAST))


def _next(twin: Twin, number: int, state: Any, values: Mapping[int, np.ndarray], places: list[int], logits: int) -> float:
    """How near the file comes to what the next stage makes of `state`."""
    last = number + 2 == len(twin.names)
    near = fits(values, [logits] if last else places, twin.value(twin.step(number + 1, state)))
    return near[0].error if near else float("inf")


class Sums:
    """|a - b| / |b| over several images, each added when it comes."""

    def __init__(self) -> None:
        self._apart = self._whole = 0.0

    def add(self, value: np.ndarray, wanted: np.ndarray) -> float:
        """With one more image; its error alone."""
        self._apart += float(np.square(value - wanted, dtype=np.float64).sum())
        self._whole += float(np.square(wanted, dtype=np.float64).sum())
        return relative_error(value, wanted)

    @property
    def error(self) -> float:
        found = float(np.sqrt(self._apart / max(self._whole, 1e-60)))
        return min(found, BEYOND) if np.isfinite(found) else BEYOND


def culprit(
    computed: Sequence[Computed], values: Mapping[int, np.ndarray], twins: Sequence[np.ndarray], end: int, tolerance: float
) -> tuple[Computed, float] | None:
    """The first operator on the way to the place `end` whose value no tensor of the twin is near, and the error of the nearest.

    `computed` are the operators of the stage. One that is far from all is excused where all that reads it is near again: a
    converter may write the same function in other steps.
    """
    way = _leading_to(computed, end)
    errors = {one.place: _nearest(values[one.place], twins) for one in way}
    readers = {one.place: [other.place for other in way if one.place in other.reads] for one in way}
    far: dict[int, bool] = {}
    for one in reversed(way):
        behind = [far[reader] for reader in readers[one.place]]
        far[one.place] = errors[one.place] > EXCUSED * tolerance and (any(behind) or not behind)
    return next(((one, min(errors[one.place], BEYOND)) for one in way if far[one.place] and errors[one.place] > tolerance), None)


def _leading_to(computed: Sequence[Computed], end: int) -> list[Computed]:
    """Those of which the value at `end` is made, itself too, in their order."""
    needed, way = {end}, []
    for one in reversed(computed):
        if one.place in needed:
            needed.update(one.reads)
            way.append(one)
    return way[::-1]


def _nearest(value: np.ndarray, twins: Sequence[np.ndarray]) -> float:
    return min((found.error for twin in twins if (found := fit(0, value, twin))), default=float("inf"))
