"""The commands that look at artifacts in their runtimes: runtimes, profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, figures
from edgevit.cli.app import command
from edgevit.cli.options import Data, Json, Runtimes, Split
from edgevit.types import Artifact, BenchRules


def show_runtimes(found: list[Artifact]) -> None:
    """A table for each artifact that has been run in others than its own."""
    for artifact in found:
        if rows := figures.runtime_rows(artifact):
            console.table(f"{artifact.name} in each runtime that may open it", figures.RUNTIME_COLUMNS, rows)
    for line in figures.runtime_notes(found):
        console.note(line)


@command
def runtimes(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts, or folders of them.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint is now, if it was moved.")] = None,
    data: Data = None,
    split: Split = "auto",
    images: Annotated[int, typer.Option("--images", min=1, help="At most so many, spread over all.")] = 1000,
    runtimes: Runtimes = [],  # noqa: B006
    json: Json = False,
) -> None:
    """The same images in every runtime that may open an artifact: LiteRT, TensorFlow, Task Library, with and without XNNPACK."""
    from edgevit import pipeline

    required, asked = pipeline.required(runtimes), pipeline.Asked(data, split, images)
    with console.progress() as progress:
        found = pipeline.matrix(pipeline.artifact_folders(artifacts), checkpoint, asked, required, progress)
    console.json(found) if json else show_runtimes(found)
    if any(ran.required and not ran.right for artifact in found for ran in artifact.runtimes):
        raise typer.Exit(1)


@command
def profile(
    artifact: Annotated[Path, typer.Argument(help="An artifact of ExecuTorch.")],
    etdump: Annotated[
        Path | None,
        typer.Option("--etdump", help="What a device's event tracer wrote. Default: run it here, where that is built in."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs that are traced.")] = 50,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it in the artifact, as profile.json.")] = False,
    json: Json = False,
) -> None:
    """Where the time of an ExecuTorch artifact goes, operator by operator, by its own event tracer."""
    from edgevit import pipeline

    with console.progress() as progress:
        found = pipeline.profile(artifact, etdump, runs, keep, progress)
    if json:
        console.json(found)
        return
    console.table("Time by operator", figures.PROFILE_COLUMNS, figures.profile_rows(found))
    if rows := figures.block_rows(found):
        console.table("Time by block", figures.BLOCK_COLUMNS, rows)
    for line in figures.profile_notes(found):
        console.note(line)


@command
def gains(
    artifact: Annotated[Path, typer.Argument(help="An artifact that this machine can run.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint is now, if it was moved.")] = None,
    launches: Annotated[int, typer.Option("--launches", min=6, help="Processes of each file; 6 give an interval.")] = 10,
    runs: Annotated[int, typer.Option("--runs", min=50, help="Timed calls of each, over all launches.")] = 100,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")] = None,
    json: Json = False,
) -> None:
    """What each rewrite gives here: the artifact converted again without it, and launched in turn with the one that has all."""
    from edgevit import pipeline

    rules = BenchRules(max(runs, launches), launches=launches, most_launches=launches, threads=threads, images=0)
    with console.progress() as progress:
        found = pipeline.gains(artifact, checkpoint, rules, progress)
    if json:
        console.json(found)
    else:
        console.table(f"{found.artifact} without each of its rewrites", figures.GAIN_COLUMNS, figures.gain_rows(found))
        for line in figures.gain_notes(found):
            console.note(line)
    if found.p50_ms is None:
        raise typer.Exit(1)
