"""What a model costs: milliseconds on a device as a sum of its kinds of work, fitted to what was measured there.

Each kind of work is counted from the shape alone (`features`) and has one coefficient, the milliseconds that a unit of it takes,
for each target and recipe on each device. None is below zero, since no work takes less than no time, and so kinds that go
together share what they explain and a fit of few points stays sane (non-negative least squares: Lawson and Hanson, "Solving
Least Squares Problems", 1974, chapter 23, as scipy has it). Rows are divided by the measured time, so that it is the relative
error that is least, of a model of 1 ms as of one of 100 ms. The last block is counted as the converters write it: only what the
head reads goes through its queries and its mlp.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from edgevit.types import Candidate, CostModel, Measured, PlannedPoint, ViTConfig
from edgevit.vit.config import parameters

MEGA = 1e6


def features(shape: ViTConfig) -> dict[str, float]:
    """The work for one image, by kind; multiply-adds, elements and weights in millions."""
    d, m, n, asked = shape.width, shape.mlp, shape.tokens, max(1, shape.prefix)
    whole = shape.depth - 1
    linears = whole * n * (4 * d * d + 2 * d * m) + 2 * n * d * d + asked * (2 * d * d + 2 * d * m)
    pairs = whole * n * n + asked * n
    return {
        "multiply-adds of Linears": linears / MEGA,
        "multiply-adds of attention": 2 * pairs * d / MEGA,
        "elements of softmax": pairs * shape.heads / MEGA,
        "elements of tokens": (whole * n + asked) * d / MEGA,
        "elements of GELU": (whole * n + asked) * m / MEGA,
        "weights read": shape.depth * (4 * d * d + 2 * d * m) / MEGA,
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
    from scipy.optimize import nnls

    rows = np.array([list(kinds(shape).values()) for shape in shapes]) / np.array(values)[:, None]
    scale = np.linalg.norm(rows, axis=0)
    found, _ = nnls(rows / scale, np.ones(len(rows)), maxiter=1000)
    return dict(zip(kinds(shapes[0]), (found / scale).tolist(), strict=True))


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


def held_out_error(points: Sequence[PlannedPoint]) -> float | None:
    """The median over those that are held out."""
    errors = [point.error for point in points if point.held_out]
    return statistics.median(errors) if errors else None


def of_kind(found: Sequence[Measured], candidate: Candidate) -> list[Measured]:
    """Those of the same target and recipe that could be measured."""
    kind = (candidate.target, candidate.recipe)
    return [one for one in found if one.p50_ms and (one.candidate.target, one.candidate.recipe) == kind]
