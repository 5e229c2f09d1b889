"""Which layers stand few bits, and a mix that keeps to a budget."""

from __future__ import annotations

from pathlib import Path

import quantize
from edgevit import checkpoint as checkpoints
from edgevit import stage
from edgevit.errors import BadInput
from edgevit.pipeline import calibrating
from edgevit.pipeline.look import refuse_written
from edgevit.types import Analysis, Budget, Calibration, DataChoice, Progress

WRITTEN = ("analysis.json", "damage.png", "recipe.toml")
UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def analyse(
    checkpoint: Path,
    low: str,
    high: str,
    budget: Budget | None,
    calibration: Calibration | None,
    data: DataChoice,
    out: Path,
    force: bool,
    progress: Progress,
) -> Analysis:
    """Rank the Linears of a checkpoint by what they cost in the recipe `low`; for a `budget`, find which to raise to `high`."""
    source = checkpoints.read(checkpoint)
    recipes = [quantize.get(name) for name in (low, high)]
    if not recipes[0].quantizes:
        raise BadInput(f"{low} quantizes nothing", "--recipe int4-g32, for one; edgevit recipes lists them")
    if recipes[1].layers or recipes[1].weights.name == "fp16":
        raise BadInput(f"layers cannot be raised to {high}", "--raise-to takes one form for all of them: int8, or fp32")
    refuse_written(out, WRITTEN, force)
    seen = calibrating.images(source, recipes, calibration, data) or calibration
    if seen is None:
        raise BadInput(f"{source.folder} was trained by others, on images unknown here", "--calibrate says which to look at")
    given = {"low": recipes[0], "high": recipes[1], "calibration": seen, "budget": budget, "data": data, "out": out}
    return stage.run("edgevit.jobs.mixing:analyse", Analysis, progress, checkpoint=source.folder, **given).value


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
