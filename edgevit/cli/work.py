"""The commands that do the work: train, eval, export, check, bench, report, predict, demo."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, figures
from edgevit.cli.app import command
from edgevit.errors import BadInput
from edgevit.types import Artifact, Checkpoint, Latency, Outcome, TrainConfig

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="digits (built in), or a folder: one folder per class, or idx files. Default: that of the checkpoint.",
    ),
]
OnBad = Annotated[
    str, typer.Option("--on-bad-image", help="refuse: stop at an unreadable image and name it. skip: go on without it.")
]
Split = Annotated[str, typer.Option("--split", help="held-out, train or all.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there, once the new one is whole.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")]
Runs = Annotated[int, typer.Option("--runs", min=50, help="Timed calls of each artifact.")]
Warmup = Annotated[int, typer.Option("--warmup", min=1, help="Untimed calls before them.")]


@command
def train(
    out: Annotated[Path, typer.Option("--out", help="The folder of the run.")],
    data: Data = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A variant: edgevit models lists them. Default: by image size.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=8, max=4096, help="Pixels. Default: 224, or the images' own size for small ones.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images. Default: by their number.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images in a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of the matrices. Default: 0.05.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Default: 0.1.")] = None,
    augment: Annotated[str | None, typer.Option(help="auto, none, light (scans, drawings) or photo.")] = None,
    held_out: Annotated[
        float | None, typer.Option(help="Fraction of each class to hold out where the source holds out none. Default: 0.2.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Default: 0.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    on_bad_image: Annotated[str | None, typer.Option(help="refuse or skip. Default: refuse.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a Vision Transformer on labelled images."""
    from edgevit import pipeline

    chosen = dict(
        data=data, model=model, image_size=image_size, epochs=epochs, batch=batch, lr=lr, weight_decay=weight_decay,
        label_smoothing=label_smoothing, augment=augment, held_out=held_out, seed=seed, device=device, on_bad_image=on_bad_image,
    )  # fmt: skip
    given = {name: value for name, value in chosen.items() if value is not None}
    if not resume and data is None:
        raise BadInput("nothing to train on", "--data takes a built-in name (digits) or a folder")
    try:
        with console.progress() as progress:
            checkpoint = (
                pipeline.resume(given, out, progress) if resume else pipeline.train(_settings(given), out, force, progress)
            )
    except KeyboardInterrupt:
        console.note(f"stopped; what is done stays whole, and goes on with: edgevit train --resume --out {out}")
        raise typer.Exit(130) from None
    if json:
        console.json(checkpoint)
        return
    _trained(checkpoint)
    console.note(f"\nnext: edgevit export {out} --target all --out {out / 'export'}")


def _settings(given: Mapping[str, object]) -> TrainConfig:
    try:
        return TrainConfig(**given)  # type: ignore[arg-type]
    except ValueError as error:
        raise BadInput(str(error)) from error


def _trained(checkpoint: Checkpoint) -> None:
    config, metrics = checkpoint.config, checkpoint.metrics
    _name_skipped(checkpoint.skipped)
    console.out(f"{checkpoint.folder}: {config.variant} at {config.image_size} px, {config.classes} classes")
    console.out(f"top-1 {100 * metrics['val_top1']:.2f} % held-out, epoch {metrics['epoch']:.0f} of {checkpoint.train.epochs}")


@command
def eval(
    checkpoint: Path, data: Data = None, split: Split = "held-out", on_bad_image: OnBad = "refuse", json: Json = False
) -> None:
    """Top-1 of a checkpoint on its held-out images, or on others."""
    from edgevit import checkpoint as checkpoints
    from edgevit import pipeline

    choice = pipeline.choose_data(checkpoints.read(checkpoint), data, split, on_bad_image)
    with console.progress() as progress:
        found = pipeline.evaluate(checkpoint, choice, progress)
    if json:
        console.json(found)
        return
    interval = f"95 % interval {100 * found.low:.2f} to {100 * found.high:.2f}"
    console.out(f"top-1 {100 * found.top1:.2f} % of {found.images} images ({interval}), loss {found.loss:.4f}")
    _name_skipped(found.skipped)


def _name_skipped(skipped: tuple[str, ...]) -> None:
    for name in skipped:
        console.note(f"skipped, unreadable: {name}")


@command
def export(
    checkpoint: Path,
    target: Annotated[list[str], typer.Option("--target", help="executorch, coreml, tflite or all; may be repeated.")],
    out: Annotated[Path, typer.Option("--out", help="Each artifact goes to OUT/TARGET-RECIPE.")],
    recipe: Annotated[list[str], typer.Option("--recipe", help="fp32, fp16, int8 or all; may be repeated.")] = ["fp32", "int8"],  # noqa: B006
    data: Data = None,
    split: Split = "held-out",
    on_bad_image: OnBad = "refuse",
    force: Force = False,
    json: Json = False,
) -> None:
    """Quantize, convert and check: one artifact for each target and recipe."""
    from edgevit import checkpoint as checkpoints
    from edgevit import pipeline

    wanted = pipeline.pairs(target, recipe)
    choice = pipeline.choose_data(checkpoints.read(checkpoint), data, split, on_bad_image)
    made = []
    with console.progress() as progress:
        for artifact in pipeline.export(checkpoint, wanted, choice, out, force, progress):
            console.note(f"{artifact.target}-{artifact.recipe}: {artifact.outcome.value}")
            made.append(artifact)
    console.json(made) if json else _show_artifacts(made)
    _leave_unless_passed(made)


def _show_artifacts(made: list[Artifact]) -> None:
    console.table("Artifacts", figures.ARTIFACT_COLUMNS, [figures.artifact_row(a) for a in made])
    for line in figures.artifact_notes(made):
        console.note(line)


def _leave_unless_passed(made: list[Artifact]) -> None:
    if any(a.outcome is not Outcome.PASS for a in made):
        raise typer.Exit(1)


def _show_latencies(found: list[Latency]) -> None:
    console.table("Latency of one image", figures.LATENCY_COLUMNS, [figures.latency_row(x) for x in found])
    for line in figures.latency_notes(found):
        console.note(line)


@command
def check(
    artifact: Path,
    data: Data = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint is now, if it was moved.")] = None,
    split: Split = "held-out",
    on_bad_image: OnBad = "refuse",
    json: Json = False,
) -> None:
    """Verify an artifact by hash, and compare it with its checkpoint image by image."""
    from edgevit import pipeline

    with console.progress() as progress:
        checked = pipeline.check(artifact, checkpoint, data, split, on_bad_image, progress)
    console.json(checked) if json else _show_artifacts([checked])
    _leave_unless_passed([checked])


@command
def bench(artifacts: list[Path], runs: Runs = 100, warmup: Warmup = 10, threads: Threads = None, json: Json = False) -> None:
    """Latency of artifacts on this machine, interleaved."""
    from edgevit import pipeline

    with console.progress() as progress:
        found = pipeline.bench(pipeline.artifact_folders(artifacts), runs, warmup, threads, progress)
    if json:
        console.json(found)
        return
    _show_latencies(found)


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
) -> None:
    """Measure latency here and write the report: HTML in one file, Markdown, JSON."""
    from edgevit import pipeline

    folders = pipeline.artifact_folders(artifacts)
    with console.progress() as progress:
        latencies = pipeline.bench(folders, runs, warmup, threads, progress)
        made = [pipeline.read_artifact(folder) for folder in folders]
        found = pipeline.report(made, latencies, out, title, _command_line(), force, progress)
    if json:
        console.json(found)
        return
    console.out(str(out / "report.html"))


def _command_line() -> str:
    import shlex

    return shlex.join(["edgevit", *sys.argv[1:]])


@command
def predict(
    model: Annotated[Path, typer.Argument(help="An artifact or a checkpoint.")],
    images: list[Path],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    json: Json = False,
) -> None:
    """The likeliest classes of images."""
    from edgevit import pipeline

    with console.progress() as progress:
        found = pipeline.predict(model, images, top, progress)
    if json:
        console.json(found)
        return
    for prediction in found:
        answers = ", ".join(
            f"{label} {100 * score:.1f} %" for label, score in zip(prediction.labels, prediction.scores, strict=True)
        )
        console.out(f"{prediction.image}: {answers} ({prediction.where})")


@command
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where it all goes.")] = Path("runs/demo"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: enough for 97 %.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """The whole road on scikit-learn's digits: train, quantize, convert, check, measure, report."""
    from edgevit import pipeline

    with console.progress() as progress:
        checkpoint, made, latencies, written = pipeline.demo(out, epochs, force, _command_line(), progress)
    if json:
        console.json(written)
    else:
        _trained(checkpoint)
        _show_artifacts(made)
        _show_latencies(latencies)
        for name in ("checkpoint", "export", "report.html", "report.md", "report.json"):
            console.out(str(out / name))
        console.out("\nnext, with your own images, one folder per class:\n\n    edgevit train --data FOLDER --out runs/mine\n")
    _leave_unless_passed(made)
