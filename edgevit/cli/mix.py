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
    analyse: Annotated[
        bool, typer.Option("--analyse", help="Rank the layers though a budget may be kept without; without a budget, always.")
    ] = False,
    budget: Annotated[
        list[str],
        typer.Option("--budget", help="bytes=4MB or drop=0.3 (points of top-1), or both: write a recipe that keeps to it."),
    ] = [],  # noqa: B006
    epochs: Annotated[
        int | None,
        typer.Option(min=0, help="Of training, where no mix keeps to the drop. Default: the preset's; 0: do not train."),
    ] = None,
    calibrate: Calibrate = None,
    calibration_images: CalibrationImages = 256,
    data: Data = None,
    split: Split = "auto",
    on_bad_image: OnBad = "refuse",
    force: Force = False,
    json: Json = False,
) -> None:
    """Rank every layer by the damage that few bits do to it, and find the cheapest way to keep to a budget.

    It climbs only as far as needed: all layers in --recipe, some of them in --raise-to, training for that mix. Layers are ranked
    on calibration images, a mix is measured on those of --data.
    """
    from edgevit import checkpoint as checkpoints
    from edgevit import pipeline

    source = checkpoints.read(checkpoint)
    limits = tuple(pipeline.budget(text) for text in budget)
    seen = pipeline.choose_calibration(source, calibrate, calibration_images, on_bad_image)
    choice = pipeline.choose_data(source, data, split, on_bad_image)
    with console.progress() as progress:
        found = pipeline.analyse(checkpoint, recipe, raise_to, limits, seen, choice, out, force, progress, analyse, epochs)
    if json:
        console.json(found)
        return
    if found.layers:
        title = f"What a Linear costs in {found.low}, and in {found.high}"
        console.table(title, figures.DAMAGE_COLUMNS, figures.damage_rows(found))
    if found.steps:
        console.table("How the mix was found", figures.MIX_COLUMNS, figures.mix_rows(found))
    for line in figures.damage_notes(found):
        console.note(line)
    for name in filter(None, ("analysis.json", *(picture.file for picture in found.pictures), found.file, found.trained)):
        console.out(str(out / name))
