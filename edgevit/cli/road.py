"""The commands for the whole road from a file: run, diff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, example, figures, road_figures
from edgevit.cli.app import command
from edgevit.cli.options import Jobs, Json, NoCache
from edgevit.types import Diff, RunRecord


@command
def run(
    file: Annotated[Path, typer.Argument(help="What --example prints, made your own.")] = Path("edgevit.toml"),
    out: Annotated[Path, typer.Option("--out", help="Each run is a folder in it, with run.json and the report.")] = Path("runs"),
    force_bench: Annotated[bool, typer.Option("--force-bench", help="Measure anew, also what has not changed.")] = False,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    example_: Annotated[bool, typer.Option("--example", help="Print a file to begin with, and leave.")] = False,
    json: Json = False,
) -> None:
    """The whole road as edgevit.toml says it: checkpoint, artifacts, devices, limits, report. Only what changed is done again.

    Exit code 1 names each limit that is broken and each artifact that failed.
    """
    if example_:
        console.out(example.ROAD.rstrip("\n"))
        return
    import shlex

    from edgevit import cache as caches
    from edgevit import pipeline

    asked = pipeline.read_road(file)
    for target in pipeline.left_out(list(asked.targets)):
        console.note(figures.left_out(target))
    cache = None if no_cache else caches.opened(console.note)
    with console.progress() as progress:
        how = pipeline.How(shlex.join(["edgevit", "run", str(file)]), cache, progress, console.note, force_bench, jobs)
        found = pipeline.run(asked, out, how)
    console.json(road_figures.run_record(found)) if json else _show_run(found)
    say = console.note if json else console.out
    for line in road_figures.wrong(found):
        say(line)
    if not found.passed:
        raise typer.Exit(1)


def _show_run(found: RunRecord) -> None:
    for title, columns, rows in road_figures.run_tables(found):
        if rows:
            console.table(title, columns, rows)
    for line in road_figures.run_notes(found):
        console.note(line)
    for name in ("report.html", "run.json"):
        if (found.folder / name).is_file():
            console.out(str(found.folder / name))


@command
def diff(
    before: Annotated[Path, typer.Argument(help="The folder of the earlier run, or its run.json.")],
    after: Annotated[Path, typer.Argument(help="The folder of the later run, or its run.json.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same, and what is no more than noise.")] = False,
    json: Json = False,
) -> None:
    """What got worse from one run to another, by how much, and whether that is more than noise. Exit code 1 if so."""
    from edgevit import pipeline

    found = pipeline.diff(pipeline.read_run(before), pipeline.read_run(after))
    console.json(road_figures.diff_record(found)) if json else _show_diff(found, everything)
    if found.worse:
        raise typer.Exit(1)


def _show_diff(found: Diff, everything: bool) -> None:
    if rows := road_figures.diff_rows(found, everything):
        console.table(f"From {found.before} to {found.after}", road_figures.DIFF_COLUMNS, rows)
    for line in road_figures.diff_notes(found):
        console.out(line)
