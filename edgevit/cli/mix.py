"""The command that looks for few bits: quantize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, figures
from edgevit.cli.app import command
from edgevit.cli.options import Calibrate, CalibrationImages, Data, Force, Json, OnBad, Split


@command
def quantize(
    checkpoint: Path,
    out: Annotated[Path, typer.Option("--out", help="The folder of analysis.json, damage.png and, for a budget, recipe.toml.")],
    recipe: Annotated[str, typer.Option("--recipe", help="What edgevit recipes lists, or a FILE.toml of your own.")] = "int4-g32",
    raise_to: Annotated[str, typer.Option("--raise-to", help="The form of layers that need more bits.")] = "int8",
    budget: Annotated[
        str | None, typer.Option("--budget", help="bytes=4MB or drop=0.3 (points of top-1): write a recipe that keeps to it.")
    ] = None,
    calibrate: Calibrate = None,
    calibration_images: CalibrationImages = 256,
    data: Data = None,
    split: Split = "auto",
    on_bad_image: OnBad = "refuse",
    force: Force = False,
    json: Json = False,
) -> None:
    """Rank every layer by the damage that few bits do to it, and find the cheapest mix that keeps to a budget.

    Layers are ranked on calibration images, a mix is measured on those of --data. Activations stay in float here.
    """
    from edgevit import checkpoint as checkpoints
    from edgevit import pipeline

    source = checkpoints.read(checkpoint)
    limit = pipeline.budget(budget) if budget else None
    seen = pipeline.choose_calibration(source, calibrate, calibration_images, on_bad_image)
    choice = pipeline.choose_data(source, data, split, on_bad_image)
    with console.progress() as progress:
        found = pipeline.analyse(checkpoint, recipe, raise_to, limit, seen, choice, out, force, progress)
    if json:
        console.json(found)
        return
    console.table(f"What a Linear costs in {found.low}, and in {found.high}", figures.DAMAGE_COLUMNS, figures.damage_rows(found))
    if found.steps:
        console.table("How the mix was found", figures.MIX_COLUMNS, figures.mix_rows(found))
    for line in figures.damage_notes(found):
        console.note(line)
    for name in ("analysis.json", *(picture.file for picture in found.pictures), *([found.file] if found.file else [])):
        console.out(str(out / name))
