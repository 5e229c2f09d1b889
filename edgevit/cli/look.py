"""The commands that look inside: explain, bisect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, stages
from edgevit.cli.app import command
from edgevit.cli.options import Data, Force, Json, OnBad, Split
from edgevit.types import Attended, Bisected, Inside


@command
def explain(
    checkpoint: Path,
    out: Annotated[Path, typer.Option("--out", help="The folder of the pictures, explain.json and arrays.npz.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Images to draw the attention over.")] = None,
    data: Data = None,
    split: Split = "auto",
    on_bad_image: OnBad = "refuse",
    force: Force = False,
    json: Json = False,
) -> None:
    """What a checkpoint sees: attention over images, filters, positions, attention distance, as pictures."""
    from edgevit import pipeline

    with console.progress() as progress:
        found = pipeline.explain(checkpoint, images or [], data, split, on_bad_image, out, force, progress)
    if json:
        console.json(found)
        return
    for image in found.images:
        console.out(_answer(image))
    _show_files(found, out)


def _answer(image: Attended) -> str:
    pairs = zip(image.labels, image.scores, strict=True)
    return f"{image.image}: {', '.join(f'{label} {100 * score:.1f} %' for label, score in pairs) or 'no head yet, no answer'}"


def _show_files(found: Inside, out: Path) -> None:
    for picture in found.pictures:
        console.note(f"\n{picture.title}. {picture.words}")
        console.out(str(out / picture.file))
    for line in found.notes:
        console.note(line)
    console.out(str(out / "explain.json"))
    console.out(str(out / "arrays.npz"))


@command
def bisect(
    artifact: Path,
    other: Annotated[Path | None, typer.Argument(help="Another artifact of its checkpoint, or that checkpoint.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the errors into this PNG.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Where an artifact parts from its checkpoint, or two from each other: the first block and operator beyond its tolerance.

    It is compared with the model as it was converted, stage by stage, on its golden images. Exit code 0 says that they agree
    everywhere, 1 that they part.
    """
    from edgevit import pipeline, record

    with console.progress() as progress:
        found = pipeline.bisect(artifact, other, picture, force, progress)
    if json:
        console.json({**record.builtins(found), "parts": found.parts})
    else:
        _show_bisected(found)
        if picture:
            console.out(str(picture))
    if found.parts:
        raise typer.Exit(1)


def _show_bisected(found: Bisected) -> None:
    console.table("Relative error behind each stage", stages.bisected_columns(found), stages.bisected_rows(found))
    for line in stages.bisected_notes(found):
        console.note(line)
    for line in stages.parted_lines(found):
        console.out(line)
