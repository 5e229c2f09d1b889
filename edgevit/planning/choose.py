"""Which candidates keep to a budget on every device, in the order of the accuracy that is expected of them."""

from __future__ import annotations

from collections.abc import Sequence

from edgevit.planning.costs import predicted, sizes
from edgevit.types import Candidate, Choice, CostModel, DevicePlan, Estimate, PlanBudget
from edgevit.vit.config import multiply_adds, parameters

ORDER = (
    "by multiply-adds, then parameters, a file of floats before one of integers: with equal data and training more compute has "
    "given more accuracy (ViT, arXiv 2010.11929, section 4.4 and figure 5; DeiT, arXiv 2012.12877, table 5; arXiv 2106.04560, "
    "section 2). An expected order, not a promise: few images, or a short training, turn it round."
)


def choices(every: Sequence[Candidate], devices: Sequence[DevicePlan], budget: PlanBudget) -> tuple[Choice, ...]:
    """What keeps to the budget on all devices; a candidate without a cost model on one of them does not."""
    measured = [{point.measured.candidate: point for point in device.points} for device in devices]
    known = [{(model.target, model.recipe): model for model in device.models} for device in devices]
    found = []
    for one in every:
        models = [models.get((one.target, one.recipe)) for models in known]
        estimates = [
            _estimate(one, device.device.spec, model, points)
            for device, model, points in zip(devices, models, measured, strict=True)
            if model
        ]
        if len(estimates) == len(devices) and models[0]:
            found.append(_choice(one, models[0], tuple(estimates), budget))
    return tuple(sorted((choice for choice in found if _keeps(choice, budget)), key=_expected))


def _estimate(one: Candidate, device: str, model: CostModel, points: dict) -> Estimate:
    if one in points:
        seen = points[one].measured
        return Estimate(device, seen.p50_ms, seen.least_ms, seen.greatest_ms, True)
    told = predicted(model.coefficients, one.shape)
    return Estimate(device, told, model.low * told, model.high * told, False)


def _choice(one: Candidate, model: CostModel, estimates: tuple[Estimate, ...], budget: PlanBudget) -> Choice:
    size = round(predicted(model.bytes, one.shape, sizes))
    sure = budget.p50_ms is None or all(estimate.high_ms <= budget.p50_ms for estimate in estimates)
    return Choice(one, multiply_adds(one.shape), parameters(one.shape), size, estimates, sure)


def _keeps(choice: Choice, budget: PlanBudget) -> bool:
    fast = budget.p50_ms is None or all(estimate.p50_ms <= budget.p50_ms for estimate in choice.estimates)
    return fast and (budget.bytes is None or choice.bytes <= budget.bytes)


def _expected(choice: Choice) -> tuple[int, int, bool, float]:
    quantized = not choice.candidate.recipe.startswith("fp")
    return -choice.multiply_adds, -choice.parameters, quantized, max(estimate.p50_ms for estimate in choice.estimates)
