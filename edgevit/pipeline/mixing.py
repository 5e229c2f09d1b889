"""Which layers stand few bits, and how far to climb to keep to budgets: round, raise some layers, train."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import quantize
from edgevit import checkpoint as checkpoints
from edgevit import record, stage
from edgevit.errors import BadInput
from edgevit.folder import files_written_whole
from edgevit.pipeline import calibrating, taught, training
from edgevit.pipeline.look import refuse_written
from edgevit.types import Analysis, Budget, Calibration, Checkpoint, DataChoice, Mix, Progress, TrainConfig

RECORD, TRAINED = "analysis.json", "trained"
WRITTEN = (RECORD, "damage.png", "recipe.toml")
UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def analyse(
    checkpoint: Path,
    low: str,
    high: str,
    budgets: tuple[Budget, ...],
    calibration: Calibration | None,
    data: DataChoice,
    out: Path,
    force: bool,
    progress: Progress,
    ranked: bool = True,
    epochs: int | None = None,
) -> Analysis:
    """Rank the Linears of a checkpoint by what they cost in the recipe `low`, if `ranked` or needed; keep to `budgets`.

    All in `low` comes first, then layers in `high`, and where that still drops too much, training for the mix into
    `out`/trained for so many `epochs`; None by its preset, 0 never. Raises BadInput where nothing holds, with the best found.
    """
    source = checkpoints.read(checkpoint)
    recipes = [quantize.get(name) for name in (low, high)]
    if not recipes[0].quantizes:
        raise BadInput(f"{low} quantizes nothing", "--recipe int4-g32, for one; edgevit recipes lists them")
    if recipes[1].layers or recipes[1].weights.name == "fp16":
        raise BadInput(f"layers cannot be raised to {high}", "--raise-to takes one form for all of them: int8, or fp32")
    if len({budget.kind for budget in budgets}) < len(budgets):
        raise BadInput("two budgets of one kind", "one of bytes and one of drop")
    refuse_written(out, (*WRITTEN, TRAINED), force)
    seen = calibrating.images(source, recipes, calibration, data) or calibration
    if seen is None:
        raise BadInput(f"{source.folder} was trained by others, on images unknown here", "--calibrate says which to look at")
    trains = source.train is not None and epochs != 0 and recipes[0].activations != "static"  # which training does not see
    given = {"low": recipes[0], "high": recipes[1], "calibration": seen, "budgets": budgets, "ranked": ranked or not budgets}
    job, places = "edgevit.jobs.mixing:analyse", {"checkpoint": source.folder, "data": data, "out": out}
    found = stage.run(job, Analysis, progress, trains=trains, **given, **places).value
    if found.holds:
        return found
    if trains and found.fits:
        found = _trained(source, found, data, out, force, progress, epochs)
    if not found.holds:
        raise BadInput(_missed(found), _hint(source, found, trains, epochs))
    return found


def _trained(
    source: Checkpoint, found: Analysis, data: DataChoice, out: Path, force: bool, progress: Progress, epochs: int | None
) -> Analysis:
    """The same after training for its mix, on what the checkpoint was trained on."""
    before = source.train or TrainConfig("")
    recipe = str(out / "recipe.toml")
    wanted = {"data": before.data, "seed": before.seed, "held_out": before.held_out, "precision": before.precision}
    settings = training.settings({**wanted, "start": str(source.folder), "quantize": recipe, "epochs": epochs})
    made = training.train(settings, out / TRAINED, force, progress)
    mix = taught.as_trained(made, recipe, quantize.get(recipe))
    last = found.steps[-1]
    given = {"recipe": mix, "raised": last.raised, "size": last.bytes, "budgets": found.budgets, "data": data}
    step = stage.run("edgevit.jobs.mixing:trained", Mix, progress, checkpoint=made.folder, teacher=source.folder, **given).value
    found = dataclasses.replace(found, steps=(*found.steps, step), holds=step.holds, trained=TRAINED)
    with files_written_whole(out) as partial:
        record.write(partial / RECORD, found)
    return found


def _missed(found: Analysis) -> str:
    best = min(found.steps, key=lambda mix: (mix.drop, mix.bytes))
    words = " and ".join(budget.words for budget in found.budgets)
    found_best = f"the best found, {best.step}, has {best.bytes / 1e6:.2f} MB and drops {100 * best.drop:.2f} points"
    return f"no mix of {found.low} and {found.high} keeps to {words}: {found_best} on {best.images} images"


def _hint(source: Checkpoint, found: Analysis, trains: bool, epochs: int | None) -> str:
    wider = "a wider budget, another --recipe or a higher --raise-to"
    if not found.fits:
        return wider
    if trains:
        return f"{wider}; or more --epochs"
    if source.train is None:
        unknown = f"what {source.folder} was trained on is unknown here"
        return f"{wider}; or edgevit train --quantize with images of your own: {unknown}"
    return (
        f"{wider}; or let it train, without --epochs 0" if epochs == 0 else f"{wider}; training does not see static activations"
    )


def budget(text: str) -> Budget:
    """bytes=4MB, or drop=0.3 in points of top-1. Raises BadInput."""
    kind, _, value = text.partition("=")
    try:
        if kind == "drop":
            found = Budget("drop", float(value) / 100)
        elif kind == "bytes":
            unit = next((u for u in ("KB", "MB", "GB", "B") if value.endswith(u)), "")
            found = Budget("bytes", float(value[: len(value) - len(unit)]) * UNITS.get(unit, 1))
        else:
            raise ValueError
        if not 0 <= found.limit < 1e15:
            raise ValueError
    except ValueError:
        raise BadInput(f"not a budget: {text[:40]}", "as bytes=4MB, or drop=0.3 for points of top-1") from None
    return found
