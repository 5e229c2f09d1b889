"""The cost model, on times of a law that is known: it finds the law, and its errors are those that it has."""

from __future__ import annotations

import dataclasses
import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic import FILE, LAW, design, timed

from edgevit.planning import costs
from edgevit.planning.costs import features, predicted
from edgevit.types import Measured, PlannedPoint
from edgevit.vit.config import config, multiply_adds

FIT, HELD_OUT = design()


def test_the_law_is_found() -> None:
    model, points = costs.model([timed(one) for one in FIT], [timed(one) for one in HELD_OUT])
    assert model.coefficients == pytest.approx(LAW, rel=1e-3) and model.bytes == pytest.approx(FILE, rel=1e-2)
    assert max(point.error for point in points) < 1e-4 and (model.fitted, model.held_out) == (40, 30)
    assert (model.low, model.high) == pytest.approx((1, 1), abs=1e-3)


def test_noisy_times_are_predicted_within_about_their_noise() -> None:
    model, points = costs.model([timed(one, 0.05) for one in FIT], [timed(one, 0.05) for one in HELD_OUT])
    errors = [point.error for point in points if point.held_out]
    assert model.held_out_error == statistics.median(errors) < 0.08
    assert 0.01 < model.loo_error < 0.1
    inside = [model.low <= (p.measured.p50_ms or 0) / p.predicted_ms <= model.high for p in points]
    assert 0.85 <= sum(inside) / len(inside) <= 0.95
    assert min(model.coefficients.values()) >= 0


def test_what_another_law_made_shows_in_the_held_out_error_alone() -> None:
    """Were a held-out point in the fit, its error would be less."""
    others = [dataclasses.replace(timed(one), p50_ms=2 * (timed(one).p50_ms or 0)) for one in HELD_OUT]
    model, _ = costs.model([timed(one) for one in FIT], others)
    assert model.held_out_error == pytest.approx(0.5, abs=1e-3) and model.loo_error < 1e-4


def test_a_point_of_the_fit_is_predicted_without_itself() -> None:
    times = [timed(one) for one in FIT]
    times[3] = dataclasses.replace(times[3], p50_ms=3 * (times[3].p50_ms or 0))
    _, points = costs.model(times, [])
    assert points[3].predicted_ms == pytest.approx((times[3].p50_ms or 0) / 3, rel=1e-3)


def test_points_that_were_disturbed_do_not_bend_the_rest() -> None:
    """Four of 40 took up to three times as long, as beside another program; least squares would be off by several per cent."""
    times = [timed(one) for one in FIT]
    for n, factor in ((3, 3.0), (11, 2.0), (17, 1.5), (29, 2.5)):
        times[n] = dataclasses.replace(times[n], p50_ms=factor * (times[n].p50_ms or 0))
    model, _ = costs.model(times, [timed(one) for one in HELD_OUT])
    assert model.held_out_error is not None and model.held_out_error < 0.003


def test_the_spread_is_that_of_the_launches_of_one_file() -> None:
    even = [PlannedPoint(dataclasses.replace(timed(one), least_ms=2.0, greatest_ms=2.5), 2.2, False) for one in FIT[:3]]
    assert costs.spread(even) == pytest.approx(0.25)
    assert costs.spread([PlannedPoint(Measured(FIT[0], "local"), 2.0, False)]) == 0


def test_nothing_held_out_has_no_error() -> None:
    model, _ = costs.model([timed(one) for one in FIT], [])
    assert model.held_out_error is None and model.held_out == 0


@pytest.mark.parametrize("variant", ["Ti/16", "S/32", "256x5x4x512/8"])
def test_the_work_is_that_of_the_model_less_what_the_last_block_is_not_asked(variant: str) -> None:
    shape = config(variant, (160, 160), 10)
    work = features(shape)
    counted = 1e6 * sum(value for name, value in work.items() if name.startswith("multiply-adds"))
    n, d, m = shape.tokens, shape.width, shape.mlp
    unasked = (n - 1) * (2 * d * d + 2 * d * m) + 2 * (n - 1) * n * d
    assert counted + unasked + d * 10 == pytest.approx(multiply_adds(shape))


def test_a_prediction_is_a_sum() -> None:
    shape = FIT[0].shape
    assert predicted({"blocks": 2.0, "one call": 1.0}, shape) == 2 * shape.depth + 1
