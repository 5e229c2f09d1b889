"""The commands for what a device runs: bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console
from edgevit.cli.app import command
from edgevit.cli.options import Force, Json
from edgevit.types import Bundled


@command
def bundle(
    artifact: Annotated[Path, typer.Argument(help="An artifact of ExecuTorch.")],
    out: Annotated[Path, typer.Option("--out", help="The file, as a rule .bpte. It holds the whole program again.")],
    images: Annotated[int, typer.Option("--images", min=1, help="Golden images in it.")] = 4,
    force: Force = False,
    json: Json = False,
) -> None:
    """An ExecuTorch program with golden images and the outputs that are expected of it, for a self-test on a device."""
    from edgevit import pipeline

    with console.progress() as progress:
        made = pipeline.bundle(artifact, out, images, force, progress)
    console.json(made) if json else _show(made)
    if made.passed is False:
        raise typer.Exit(1)


def _show(made: Bundled) -> None:
    console.out(f"{made.file}: {made.bytes / 1e6:.1f} MB, {made.images} images; expected outputs: {made.expected}")
    console.out(f"it holds where no output is off by more than {made.atol:.2g} (rtol 0, atol {made.atol:.2g})")
    words = {True: "passed here", False: f"failed here, {made.reason}", None: f"not run, {made.reason}"}
    console.out(f"self-test: {words[made.passed]}")
