"""The commands that measure artifacts on devices: devices, bench, report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, latencies
from edgevit.cli.app import command
from edgevit.cli.options import Force, Json, cores, duration
from edgevit.errors import UnknownName
from edgevit.types import Bench, BenchRules, Unit
from targets.devices import Access
from targets.devices.programs import Programs

PLAIN = BenchRules()

Devices = Annotated[
    list[str],
    typer.Option(
        "--device", help="local, ssh://[user@]host[:port][?python=PATH], adb[:serial], macos or ios[:udid]; may be repeated."
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")]
Affinity = Annotated[str | None, typer.Option("--affinity", help="Cores that it may use: 4-7, or 0,2.")]
Runs = Annotated[int, typer.Option("--runs", min=50, help="Timed calls of each artifact at the least, over all launches.")]
Warmup = Annotated[int, typer.Option("--warmup", min=1, help="Untimed calls before them, in each launch.")]
Launches = Annotated[int, typer.Option("--launches", min=6, help="Processes of each artifact at the least; 6 give an interval.")]
Most = Annotated[int, typer.Option("--most-launches", min=6, help="At most so many, where the interval stays wide.")]
Narrow = Annotated[float, typer.Option("--narrow", min=0.001, help="Half of the interval that is narrow enough, of the median.")]
Limit = Annotated[str, typer.Option("--limit", help="No new round after so long: 90s, 10m, 1h.")]
Images = Annotated[int, typer.Option("--images", min=0, help="Images answered on the device, besides the golden batch.")]
Sustained = Annotated[str, typer.Option("--sustained", help="Runs without a pause at the end: 10m. The curve is kept.")]
Units = Annotated[list[str], typer.Option("--unit", help="cpu, gpu, npu or all; may be repeated. Default: what it offers.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the order in each round.")]
From = Annotated[Path | None, typer.Option("--checkpoint", help="Where the checkpoint is now, if it was moved.")]
Wait = Annotated[str, typer.Option("--wait", help="Wait so long for a device on which another bench runs: 5m.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave on the device what it was sent.")]
BenchmarkModel = Annotated[Path | None, typer.Option(help="LiteRT's benchmark_model for the Android device; docs/android.md.")]
Answering = Annotated[Path | None, typer.Option(help="Another benchmark_model, for images, where that one takes none.")]
ExecutorRunner = Annotated[Path | None, typer.Option(help="ExecuTorch's executor_runner for it; docs/android.md.")]
Adb = Annotated[Path | None, typer.Option(help="Default: the adb that is on PATH.")]


@command
def devices(
    specs: Annotated[list[str] | None, typer.Argument(help="Others to ask, as ssh://pi@10.0.0.5.")] = None, json: Json = False
) -> None:
    """Devices to measure on: this machine, what adb and Xcode list, and those that are named. What each has, or why not."""
    from edgevit import pipeline

    found = pipeline.reachable(specs or [])
    if json:
        console.json(found)
    else:
        console.table("Devices", latencies.DEVICE_COLUMNS, [latencies.device_row(one) for one in found])
        for line in latencies.device_notes(found):
            console.note(line)
    if any(one.reason for one in found if one.spec in (specs or [])):
        raise typer.Exit(1)


@command
def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts, or folders of them.")],
    device: Devices = ["local"],  # noqa: B006
    runs: Runs = PLAIN.runs,
    warmup: Warmup = PLAIN.warmup,
    launches: Launches = PLAIN.launches,
    most_launches: Most = PLAIN.most_launches,
    narrow: Narrow = PLAIN.narrow,
    limit: Limit = "10m",
    threads: Threads = None,
    affinity: Affinity = None,
    unit: Units = [],  # noqa: B006
    images: Images = PLAIN.images,
    sustained: Sustained = "0s",
    seed: Seed = PLAIN.seed,
    checkpoint: From = None,
    wait: Wait = "10m",
    keep: Keep = False,
    adb: Adb = None,
    benchmark_model: BenchmarkModel = None,
    answering: Answering = None,
    executor_runner: ExecutorRunner = None,
    out: Annotated[Path | None, typer.Option("--out", help="A file for all that was measured, for edgevit report.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Latency, memory and answers of artifacts on devices: launched in turn until each median is known, or why it is not."""
    from edgevit import pipeline

    rules = BenchRules(
        runs, warmup, launches, max(launches, most_launches), narrow, duration(limit), threads, cores(affinity), images,
        duration(sustained), seed, tuple(map(_unit, unit)),
    )  # fmt: skip
    access = Access(Programs(adb, benchmark_model, answering, executor_runner), duration(wait), keep)
    if out:
        pipeline.refuse_bench(out, force)
    with console.progress() as progress:
        found = pipeline.bench_all(pipeline.artifact_folders(artifacts), device, rules, checkpoint, progress, access)
    if out:
        pipeline.write_bench(out, found, force)
    console.json(found) if json else show(found)
    if any(broken(one) for one in found):
        raise typer.Exit(1)


def _unit(name: str) -> Unit:
    if name not in list(Unit):
        raise UnknownName("unit", name, [unit.value for unit in Unit])
    return Unit(name)


def broken(found: Bench) -> bool:
    """Whether something broke on the device, or answers wrongly there."""
    return any(x.failed or (x.answers is not None and x.answers.reason) for x in found.latencies)


def show(found: list[Bench]) -> None:
    for one in found:
        console.table(f"One image on {one.device.spec}", latencies.LATENCY_COLUMNS, latencies.latency_rows(one.latencies))
        for line in latencies.latency_notes(one):
            console.note(line)
        for line in latencies.ranking_lines(one.latencies):
            console.out(line)


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
    measured: Annotated[
        list[Path], typer.Option("--bench", help="What edgevit bench --out wrote, in place of measuring; may be repeated.")
    ] = [],  # noqa: B006
    device: Devices = ["local"],  # noqa: B006
    runs: Runs = PLAIN.runs,
    warmup: Warmup = PLAIN.warmup,
    threads: Threads = None,
    force: Force = False,
    json: Json = False,
    schema: Annotated[
        bool,
        typer.Option("--schema", callback=print_schema, is_eager=True, help="Print the JSON Schema of report.json and leave."),
    ] = False,
) -> None:
    """Measure on devices, or take what was measured, and write the report: HTML in one file, Markdown, JSON."""
    from edgevit import pipeline

    folders = pipeline.artifact_folders(artifacts)
    pipeline.refuse_reported(out, force)
    rules = BenchRules(runs=runs, warmup=warmup, threads=threads)
    with console.progress() as progress:
        found = [one for path in measured for one in pipeline.read_bench(path)]
        found = found or pipeline.bench_all(folders, device, rules, None, progress, Access(wait=600.0))
        made = [pipeline.read_artifact(folder) for folder in folders]
        written = pipeline.report(made, found, out, title, command_line(), force, progress)
    if json:
        console.json(written)
        return
    console.out(str(out / "report.html"))


def command_line() -> str:
    return shlex.join(["edgevit", *sys.argv[1:]])
