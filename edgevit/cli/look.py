"""The command that looks inside: explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console
from edgevit.cli.app import command
from edgevit.cli.options import Data, Force, Json, OnBad, Split
from edgevit.types import Attended, Inside


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
