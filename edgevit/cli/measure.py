"""The commands that measure artifacts: bench, profile, report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, figures
from edgevit.cli.app import command
from edgevit.cli.options import Data, Force, Json, Runtimes, Split
from edgevit.types import Artifact, Latency

Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")]
Runs = Annotated[int, typer.Option("--runs", min=50, help="Timed calls of each artifact.")]
Warmup = Annotated[int, typer.Option("--warmup", min=1, help="Untimed calls before them.")]


@command
def bench(artifacts: list[Path], runs: Runs = 100, warmup: Warmup = 10, threads: Threads = None, json: Json = False) -> None:
    """Latency of artifacts on this machine, interleaved."""
    from edgevit import pipeline

    with console.progress() as progress:
        found = pipeline.bench(pipeline.artifact_folders(artifacts), runs, warmup, threads, progress)
    console.json(found) if json else show_latencies(found)
    if any(latency.failed for latency in found):
        raise typer.Exit(1)


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
    for line in figures.profile_notes(found):
        console.note(line)


def print_schema(asked: bool) -> None:
    """Before anything is required."""
    if asked:
        from edgevit.report import schema

        console.out(schema.published().rstrip("\n"))
        raise typer.Exit


@command
def report(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts, or folders of them, of one checkpoint.")],
    out: Annotated[Path, typer.Option("--out", help="Where report.html, report.md and report.json go.")],
    title: Annotated[str, typer.Option(help="What stands above it.")] = "edgevit report",
    runs: Runs = 100,
    warmup: Warmup = 10,
    threads: Threads = None,
    force: Force = False,
    json: Json = False,
    schema: Annotated[
        bool,
        typer.Option("--schema", callback=print_schema, is_eager=True, help="Print the JSON Schema of report.json and leave."),
    ] = False,
) -> None:
    """Measure latency here and write the report: HTML in one file, Markdown, JSON."""
    from edgevit import pipeline

    folders = pipeline.artifact_folders(artifacts)
    pipeline.refuse_reported(out, force)
    with console.progress() as progress:
        latencies = pipeline.bench(folders, runs, warmup, threads, progress)
        made = [pipeline.read_artifact(folder) for folder in folders]
        found = pipeline.report(made, latencies, out, title, command_line(), force, progress)
    if json:
        console.json(found)
        return
    console.out(str(out / "report.html"))


def command_line() -> str:
    import shlex

    return shlex.join(["edgevit", *sys.argv[1:]])


def show_latencies(found: list[Latency]) -> None:
    console.table("Latency of one image", figures.LATENCY_COLUMNS, [figures.latency_row(x) for x in found])
    for line in figures.latency_notes(found):
        console.note(line)
