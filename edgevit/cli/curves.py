"""The command that shows how trainings went: curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, courses
from edgevit.cli.app import command
from edgevit.cli.options import Force, Json


@command
def curves(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of trainings, also of one that goes on. Several lie over each other.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Draw them into this PNG.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="A page with curves, settings, versions and how to repeat it.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw --out on dark paper.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """How trainings went: loss, top-1, learning rate and speed by epoch, in the terminal, as a picture or as a page."""
    from edgevit import pipeline, record

    with console.progress() as progress:
        found = pipeline.curves(runs, out, html, dark, force, progress)
    if json:
        console.json([{"run": str(one.folder), "rows": one.rows, "watched": record.builtins(one.watched)} for one in found])
        return
    for one in found:
        for line in (f"{one.name}:" * (len(found) > 1), *courses.lines(one)):
            if line:
                console.out(line)
    console.out("")
    courses.show(found)
    for one in found:
        courses.faults(one)
    for file in filter(None, (out, html)):
        console.out(str(file))
