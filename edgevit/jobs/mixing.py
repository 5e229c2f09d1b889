"""Ranking the layers of a checkpoint by what they cost in few bits, and finding a mix that keeps to a budget."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgevit import checkpoint as checkpoints
from edgevit import record as records
from edgevit.checks.accuracy import compare
from edgevit.errors import BadInput
from edgevit.folder import files_written_whole
from edgevit.jobs.answers import loader, outputs, torch_runner
from edgevit.jobs.quantize import calibration_images
from edgevit.pictures.damage import damage
from edgevit.pictures.paper import LIGHT
from edgevit.types import (
    Analysis,
    Budget,
    Calibration,
    Checkpoint,
    DataChoice,
    Drawn,
    LayerDamage,
    Mix,
    Progress,
    QuantRecipe,
    Tolerance,
)

if TYPE_CHECKING:
    from torch import Tensor

    from edgevit.vit.model import ViT

RECORD, RECIPE = "analysis.json", "recipe.toml"
ANY = Tolerance(float("inf"), 1.0, 0.0)

Measure = Callable[[list[str]], Mix]


def analyse(
    checkpoint: Path,
    low: QuantRecipe,
    high: QuantRecipe,
    calibration: Calibration,
    budget: Budget | None,
    data: DataChoice,
    out: Path,
    progress: Progress,
) -> Analysis:
    """Write the ranking, its picture and, for a `budget`, the recipe of a mix into `out`.

    Layers are ranked on the images of `calibration`; a mix is measured on those of `data`. Raises BadInput where none holds.
    """
    import torch

    from quantize import mixing

    source, model = checkpoints.load(checkpoint)
    seen = torch.from_numpy(calibration_images(source, calibration, progress))
    found = Analysis(
        low.name, high.name, len(seen), f"{calibration.data.spec} ({calibration.data.split})",
        mixing.damages(model, low, high, seen, progress), budget,
    )  # fmt: skip
    mix = None
    if budget:
        reference = outputs(torch_runner(model), loader(source, data), progress, "answers of the checkpoint")
        measure = _measure(model, low, high, seen, budget, lambda m: _outputs(m, source, data, progress), reference, progress)
        chosen, steps = _search(mixing.order(found.layers), found, budget, measure)
        mix = mixing.raised(low, high.weights, chosen, "mixed")
        found = dataclasses.replace(found, steps=steps, raised=tuple(chosen), file=RECIPE)
    drawing = damage(found)
    found = dataclasses.replace(found, pictures=(Drawn(f"{drawing.name}.png", drawing.title, drawing.words),))
    with files_written_whole(out) as partial:
        records.write(partial / RECORD, found)
        (partial / f"{drawing.name}.png").write_bytes(drawing.png(LIGHT))
        if mix:
            (partial / RECIPE).write_text(mixing.toml(mix))
    return found


def _outputs(model: ViT, source: Checkpoint, data: DataChoice, progress: Progress) -> np.ndarray:
    return outputs(torch_runner(model), loader(source, data), progress, "answers of the mix")[0]


def _measure(
    model: ViT,
    low: QuantRecipe,
    high: QuantRecipe,
    seen: Tensor,
    budget: Budget,
    answer: Callable[[ViT], np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
    progress: Progress,
) -> Measure:
    """A function that makes the mix with these layers raised, and measures it."""
    from quantize import mixing
    from quantize.apply import quantized

    logits, classes = reference

    def measure(layers: list[str]) -> Mix:
        recipe = mixing.raised(low, high.weights, layers, "mixed")
        changed = copy.deepcopy(model)
        quantized(model, recipe, seen, progress).put(changed, dynamic=False)
        found = compare(answer(changed), logits, classes, 0.0, ANY, "host")
        assert found.top1 is not None and found.reference_top1 is not None and found.agreement is not None
        size, drop = mixing.model_bytes(model, recipe), found.reference_top1 - found.top1
        holds = (size if budget.kind == "bytes" else drop) <= budget.limit + 1e-9
        return Mix(len(layers), size, drop, found.agreement, found.images, holds)

    return measure


def _search(order: list[LayerDamage], found: Analysis, budget: Budget, measure: Measure) -> tuple[list[str], tuple[Mix, ...]]:
    """The layers to raise, and what was measured on the way. Raises BadInput where no mix holds, with the best one found."""
    first = measure([])
    if budget.kind == "bytes":
        chosen, left = [], budget.limit - first.bytes
        for layer in order:
            if layer.high_bytes - layer.bytes <= left:
                chosen.append(layer.layer)
                left -= layer.high_bytes - layer.bytes
        steps = [first] if not first.holds or not chosen else [first, measure(chosen)]
        return _held(chosen, steps, found, budget)
    names = [layer.layer for layer in order]
    if first.holds or not names:
        return _held([], [first], found, budget)
    steps = [first, measure(names)]
    if not steps[-1].holds:
        return _held(names, steps, found, budget)
    too_few, enough = 0, len(names)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        steps.append(measure(names[:middle]))
        too_few, enough = (too_few, middle) if steps[-1].holds else (middle, enough)
    return _held(names[:enough], steps, found, budget)


def _held(chosen: list[str], steps: list[Mix], found: Analysis, budget: Budget) -> tuple[list[str], tuple[Mix, ...]]:
    if any(step.holds and step.raised == len(chosen) for step in steps):
        return chosen, tuple(steps)
    best = min(steps, key=lambda mix: mix.bytes if budget.kind == "bytes" else mix.drop)
    raise BadInput(
        f"no mix of {found.low} and {found.high} keeps to {budget.words}: the best found has {best.bytes / 1e6:.2f} MB and drops "
        f"{100 * best.drop:.2f} points on {best.images} images",
        "a wider budget, another --recipe or a higher --raise-to",
    )
