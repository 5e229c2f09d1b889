"""What keeps to a budget, in which order; on several devices, what keeps to it on all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic import LAW, design, timed

from edgevit.planning import costs
from edgevit.planning.choose import choices
from edgevit.planning.costs import predicted
from edgevit.planning.grid import Grid, candidates
from edgevit.types import DeviceFacts, DevicePlan, PlanBudget

EVERY = candidates(Grid(kinds=(("tflite", "fp32"),)))
FIT, HELD_OUT = design()


def planned(device: str, slower: float = 1.0) -> DevicePlan:
    import dataclasses

    times = [timed(one, 0.03, device) for one in (*FIT, *HELD_OUT)]
    times = [dataclasses.replace(one, p50_ms=slower * one.p50_ms, greatest_ms=slower * one.p50_ms) for one in times if one.p50_ms]
    model, points = costs.model(times[: len(FIT)], times[len(FIT) :])
    return DevicePlan(DeviceFacts(device), (model,), points)


ONE = planned("one")


def test_without_a_budget_all_are_listed_with_what_was_measured() -> None:
    found = choices(EVERY, [ONE], PlanBudget())
    assert len(found) == len(EVERY) and all(choice.sure for choice in found)
    assert sum(choice.estimates[0].measured for choice in found) == len(FIT) + len(HELD_OUT)
    measured = next(choice for choice in found if choice.candidate == FIT[0])
    assert measured.estimates[0].p50_ms == timed(FIT[0], 0.03).p50_ms


@pytest.mark.parametrize("limit", [2.0, 20.0])
def test_a_budget_of_time_is_kept(limit: float) -> None:
    found = choices(EVERY, [ONE], PlanBudget(p50_ms=limit))
    assert 0 < len(found) < len(EVERY) and all(choice.estimates[0].p50_ms <= limit for choice in found)
    assert {choice.sure for choice in found} == {True, False}
    assert all(choice.sure == (choice.estimates[0].high_ms <= limit) for choice in found)
    left = set(EVERY) - {choice.candidate for choice in found}
    assert min(predicted(LAW, one.shape) for one in left) > 0.85 * limit


def test_a_budget_of_bytes_is_kept() -> None:
    found = choices(EVERY, [ONE], PlanBudget(bytes=10_000_000))
    assert 0 < len(found) < len(EVERY) and max(choice.bytes for choice in found) <= 10_000_000
    assert all(choice.bytes == pytest.approx(4 * choice.parameters, rel=0.1) for choice in found)


def test_nothing_may_keep_to_it() -> None:
    assert choices(EVERY, [ONE], PlanBudget(p50_ms=1e-6)) == ()


def test_the_slower_of_two_devices_decides() -> None:
    both = choices(EVERY, [ONE, planned("two", 2.0)], PlanBudget(p50_ms=10.0))
    assert {choice.candidate for choice in both} < {choice.candidate for choice in choices(EVERY, [ONE], PlanBudget(10.0))}
    assert all([estimate.device for estimate in choice.estimates] == ["one", "two"] for choice in both)


def test_what_a_device_has_no_model_of_is_not_listed() -> None:
    other = candidates(Grid(kinds=(("executorch", "fp32"),)))
    assert choices(other, [ONE], PlanBudget()) == ()


def test_the_order_is_by_compute_and_floats_come_first() -> None:
    found = choices(EVERY, [ONE], PlanBudget())
    assert [choice.multiply_adds for choice in found] == sorted((choice.multiply_adds for choice in found), reverse=True)
    import dataclasses

    small = dataclasses.replace(ONE.models[0], recipe="int8")
    two = dataclasses.replace(ONE, models=(*ONE.models, small))
    each = [dataclasses.replace(EVERY[0], recipe=recipe) for recipe in ("int8", "fp32")]
    assert [choice.candidate.recipe for choice in choices(each, [two], PlanBudget())] == ["fp32", "int8"]


@pytest.mark.parametrize("wrong", [{"p50_ms": 0.0}, {"bytes": -1}])
def test_a_budget_is_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        PlanBudget(**wrong)  # type: ignore[arg-type]
