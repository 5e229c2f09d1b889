"""What a model costs: milliseconds on a device as a sum of its kinds of work, fitted to what was measured there.

Each kind of work is counted from the shape alone (`features`) and has one coefficient, the milliseconds that a unit of it takes,
for each target and recipe on each device. None is below zero, since no work takes less than no time, and so kinds that go
together share what they explain and a fit of few points stays sane (non-negative least squares: Lawson and Hanson, "Solving
Least Squares Problems", 1974, chapter 23, as scipy has it). Rows are divided by the measured time, so that it is the relative
error that is least, of a model of 1 ms as of one of 100 ms. It is the sum of the errors that is made least, not of their squares,
by weights that are found anew (iteratively reweighted least squares: Holland and Welsch, 1977): a point that was measured while
something else had the processor is then one point, and does not bend the rest. What is too large for a cache costs more from
there on, so weights and scores have a second coefficient for what is beyond a size. The last block is counted as the converters
write it: only what the head reads goes through its queries and its mlp.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgevit.types import Candidate, CostModel, Measured, PlannedPoint, ViTConfig
from edgevit.vit.config import parameters

if TYPE_CHECKING:
    import numpy as np

MEGA = 1e6
CACHED = (1.0, 4.0)
"""Millions of weights, read anew for each image, from which on they no longer lie in a core's own cache, or in the shared one."""
SCORES = 0.2
"""Millions of attention scores of one block, from which on they go through memory."""
ROUNDS = 20
NEAR = 0.02
"""Relative errors below this count alike: they are those of the clock."""


def features(shape: ViTConfig) -> dict[str, float]:
    """The work for one image, by kind; multiply-adds, elements and weights in millions."""
    d, m, n, asked = shape.width, shape.mlp, shape.tokens, max(1, shape.prefix)
    whole = shape.depth - 1
    linears = whole * n * (4 * d * d + 2 * d * m) + 2 * n * d * d + asked * (2 * d * d + 2 * d * m)
    pairs = whole * n * n + asked * n
    weights = shape.depth * (4 * d * d + 2 * d * m) / MEGA
    return {
        "multiply-adds of Linears": linears / MEGA,
        "multiply-adds of attention": 2 * pairs * d / MEGA,
        "elements of softmax": pairs * shape.heads / MEGA,
        "elements of tokens": (whole * n + asked) * d / MEGA,
        "elements of GELU": (whole * n + asked) * m / MEGA,
        "weights read": weights,
        **{f"weights read beyond {most:g} M": max(0.0, weights - most) for most in CACHED},
        "scores beyond a cache": shape.depth * max(0.0, n * n * shape.heads / MEGA - SCORES),
        "multiply-adds of the patch embedding": shape.patches * 3 * shape.patch**2 * d / MEGA,
        "blocks": float(shape.depth),
        "one call": 1.0,
    }


def sizes(shape: ViTConfig) -> dict[str, float]:
    """What a file holds, by kind; weights in millions."""
    d, m = shape.width, shape.mlp
    linears = shape.depth * (4 * d * d + 2 * d * m)
    return {
        "weights of Linears": linears / MEGA,
        "other parameters": (parameters(shape) - linears) / MEGA,
        "blocks": float(shape.depth),
        "one file": 1.0,
    }


Kinds = Callable[[ViTConfig], dict[str, float]]


def fitted(shapes: Sequence[ViTConfig], values: Sequence[float], kinds: Kinds) -> dict[str, float]:
    """The coefficient of each kind, none below zero, whose sums are nearest to the positive `values`, as shares of them."""
    import numpy as np

    rows = np.array([list(kinds(shape).values()) for shape in shapes]) / np.array(values)[:, None]
    weights = np.ones(len(rows))
    for _ in range(ROUNDS):
        found = _least_squares(rows, weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(rows @ found - 1), NEAR))
    return dict(zip(kinds(shapes[0]), found.tolist(), strict=True))


def _least_squares(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The coefficients, none below zero, for which `rows` sum up to 1; a kind that no row has gets none."""
    import numpy as np
    from scipy.optimize import nnls

    scale = np.linalg.norm(rows, axis=0)
    scale[scale == 0] = 1
    found, _ = nnls(rows / scale * weights[:, None], weights, maxiter=1000)
    return found / scale


def predicted(coefficients: dict[str, float], shape: ViTConfig, kinds: Kinds = features) -> float:
    counted = kinds(shape)
    return sum(value * counted[name] for name, value in coefficients.items())


def model(fit: Sequence[Measured], held_out: Sequence[Measured]) -> tuple[CostModel, tuple[PlannedPoint, ...]]:
    """The cost model of one target and recipe on one device, and how near it comes to every point; all have a `p50_ms`."""
    shapes, times = [one.candidate.shape for one in fit], [one.p50_ms or 0.0 for one in fit]
    coefficients = fitted(shapes, times, features)
    points = [PlannedPoint(one, predicted(_without(shapes, times, n), one.candidate.shape), False) for n, one in enumerate(fit)]
    points += [PlannedPoint(one, predicted(coefficients, one.candidate.shape), True) for one in held_out]
    ratios = [(point.measured.p50_ms or 0.0) / point.predicted_ms for point in points if point.predicted_ms > 0]
    target, recipe = fit[0].candidate.target, fit[0].candidate.recipe
    found = CostModel(
        target, recipe, coefficients, len(fit), statistics.median(point.error for point in points if not point.held_out),
        *_interval(ratios),
        len(held_out), held_out_error(points), fitted(shapes, [one.bytes for one in fit], sizes),
    )  # fmt: skip
    return found, tuple(points)


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Between these lie 9 in 10 of the ratios, and 1."""
    if len(ratios) < 2:
        return 1.0, 1.0
    ends = statistics.quantiles(ratios, n=20, method="inclusive")
    return min(1.0, ends[0]), max(1.0, ends[-1])


def _without(shapes: list[ViTConfig], times: list[float], n: int) -> dict[str, float]:
    return fitted([*shapes[:n], *shapes[n + 1 :]], [*times[:n], *times[n + 1 :]], features)


def spread(points: Sequence[PlannedPoint]) -> float:
    """By how much the launches of one file differ, the slowest beside the fastest, as a share: the median over the points."""
    ends = [(one.measured.least_ms, one.measured.greatest_ms) for one in points]
    told = [greatest / least - 1 for least, greatest in ends if least and greatest]
    return statistics.median(told) if told else 0.0


def held_out_error(points: Sequence[PlannedPoint]) -> float | None:
    """The median over those that are held out."""
    errors = [point.error for point in points if point.held_out]
    return statistics.median(errors) if errors else None


def of_kind(found: Sequence[Measured], candidate: Candidate) -> list[Measured]:
    """Those of the same target and recipe that could be measured."""
    kind = (candidate.target, candidate.recipe)
    return [one for one in found if one.p50_ms and (one.candidate.target, one.candidate.recipe) == kind]
