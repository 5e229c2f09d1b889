"""Ranking the layers of a checkpoint by what they cost in few bits, and finding a mix that keeps to budgets."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgevit import checkpoint as checkpoints
from edgevit import record as records
from edgevit.checks.accuracy import compare
from edgevit.folder import files_written_whole
from edgevit.jobs.answers import loader, outputs, torch_runner
from edgevit.jobs.quantize import calibration_images, learned
from edgevit.pictures.damage import damage
from edgevit.pictures.paper import LIGHT
from edgevit.types import (
    Analysis,
    Budget,
    Calibration,
    Checkpoint,
    DataChoice,
    Drawn,
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


@dataclasses.dataclass(frozen=True)
class _Judge:
    """What the float model answers to the images that count, and the budgets."""

    source: Checkpoint
    data: DataChoice
    budgets: tuple[Budget, ...]
    progress: Progress
    expected: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, source: Checkpoint, model: ViT, data: DataChoice, budgets: tuple[Budget, ...], progress: Progress) -> _Judge:
        expected = outputs(torch_runner(model), loader(source, data), progress, "answers of the checkpoint")
        return cls(source, data, budgets, progress, expected)

    def mix(self, step: str, model: ViT, raised: int, size: int) -> Mix:
        """A quantized model of `size` bytes, measured beside the float one."""
        logits, _ = outputs(torch_runner(model), loader(self.source, self.data), self.progress, "answers of the mix")
        found = compare(logits, *self.expected, 0.0, ANY, "host")
        assert found.top1 is not None and found.reference_top1 is not None and found.agreement is not None
        drop = found.reference_top1 - found.top1
        holds = all(budget.holds(size, drop) for budget in self.budgets)
        return Mix(step, raised, size, drop, found.agreement, found.images, holds)


@dataclasses.dataclass(frozen=True)
class _Mixer:
    """What makes mixes: the model in float, both recipes, and the images to calibrate on."""

    judge: _Judge
    model: ViT
    low: QuantRecipe
    high: QuantRecipe
    seen: Tensor

    def recipe(self, layers: Sequence[str]) -> QuantRecipe:
        from quantize import mixing

        return mixing.raised(self.low, self.high.weights, layers, "mixed")

    def mix(self, layers: Sequence[str]) -> Mix:
        """The mix with these layers raised, measured."""
        from quantize.apply import quantized

        recipe, changed = self.recipe(layers), copy.deepcopy(self.model)
        quantized(self.model, recipe, self.seen, self.judge.progress).put(changed, recipe.activations == "dynamic")
        return self.judge.mix("mixed" if layers else "rounded", changed, len(layers), self.bytes(layers))

    def bytes(self, layers: Sequence[str]) -> int:
        from quantize import mixing

        return mixing.model_bytes(self.model, self.recipe(layers))


def analyse(
    checkpoint: Path,
    low: QuantRecipe,
    high: QuantRecipe,
    calibration: Calibration,
    budgets: tuple[Budget, ...],
    ranked: bool,
    trains: bool,
    data: DataChoice,
    out: Path,
    progress: Progress,
) -> Analysis:
    """Write the ranking, its picture and, for `budgets`, the recipe of a mix into `out`.

    Layers are ranked on the images of `calibration`, if that was asked for or is needed; a mix is measured on those of `data`.
    Nothing is written where no mix holds the budgets, unless one only drops too much and training for it follows (`trains`).
    """
    import torch

    from quantize import mixing

    source, model = checkpoints.load(checkpoint)
    seen = torch.from_numpy(calibration_images(source, calibration, progress))
    found = Analysis(low.name, high.name, len(seen), f"{calibration.data.spec} ({calibration.data.split})", budgets=budgets)
    mixer = None
    if budgets:
        mixer = _Mixer(_Judge.of(source, model, data, budgets, progress), model, low, high, seen)
        first = mixer.mix([])
        found = dataclasses.replace(found, steps=(first,), holds=first.holds, file=RECIPE)
    more = bool(mixer) and _more(found)
    if ranked or more:
        found = dataclasses.replace(found, layers=mixing.damages(model, low, high, seen, progress))
    if mixer and more:
        found = _mixed(found, mixer, [layer.layer for layer in mixing.order(found.layers)])
    if found.holds or (trains and found.fits):
        found = _written(found, mixer, out)
    return found


def _more(found: Analysis) -> bool:
    """Whether to mix: the drop is too large, or bytes alone are limited and some may be left. Too many bytes stay too many."""
    drops = any(budget.kind == "drop" for budget in found.budgets)
    return found.fits and not (found.holds and drops)


def _mixed(found: Analysis, mixer: _Mixer, order: list[str]) -> Analysis:
    """The mix with as many layers raised as the bytes allow, or as few as the drop asks for."""
    limits = {budget.kind: budget.limit for budget in found.budgets}
    allowed: list[str] = []
    for layer in order:
        if mixer.bytes([*allowed, layer]) <= limits.get("bytes", float("inf")):
            allowed.append(layer)
    if not allowed:
        return found
    steps = [*found.steps, mixer.mix(allowed)]
    too_few, enough = 0, len(allowed)
    while "drop" in limits and steps[1].holds and enough - too_few > 1:
        middle = (too_few + enough) // 2
        steps.append(mixer.mix(allowed[:middle]))
        too_few, enough = (too_few, middle) if steps[-1].holds else (middle, enough)
    return dataclasses.replace(found, steps=tuple(steps), raised=tuple(allowed[:enough]), holds=steps[1].holds)


def trained(
    checkpoint: Path,
    teacher: Path,
    recipe: QuantRecipe,
    raised: int,
    size: int,
    budgets: tuple[Budget, ...],
    data: DataChoice,
    progress: Progress,
) -> Mix:
    """A mix of `size` bytes that a `checkpoint` was trained for, measured beside its teacher."""
    source, model = checkpoints.load(teacher)
    judge = _Judge.of(source, model, data, budgets, progress)
    record, made = checkpoints.load(checkpoint)
    learned(record, made).put(made, recipe.activations == "dynamic")
    return judge.mix("trained", made, raised, size)


def _written(found: Analysis, mixer: _Mixer | None, out: Path) -> Analysis:
    """The record as it was written, with its picture named."""
    from quantize import mixing

    with files_written_whole(out) as partial:
        if found.layers:
            drawing = damage(found)
            found = dataclasses.replace(found, pictures=(Drawn(f"{drawing.name}.png", drawing.title, drawing.words),))
            (partial / found.pictures[0].file).write_bytes(drawing.png(LIGHT))
        if mixer:
            (partial / RECIPE).write_text(mixing.toml(mixer.recipe(found.raised)))
        records.write(partial / RECORD, found)
    return found
