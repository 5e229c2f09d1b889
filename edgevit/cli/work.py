"""The commands that make and try artifacts: export, check, predict, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console, figures, stages
from edgevit.cli.app import command
from edgevit.cli.bench import command_line, show
from edgevit.cli.learn import show_trained
from edgevit.cli.measure import show_runtimes
from edgevit.cli.options import (
    Calibrate,
    CalibrationImages,
    Data,
    Force,
    Inputs,
    Jobs,
    Json,
    KeepPatches,
    NoCache,
    OnBad,
    Recipes,
    Runtimes,
    Split,
)
from edgevit.errors import EdgevitError
from edgevit.types import Artifact, Outcome


@command
def export(
    checkpoint: Path,
    target: Annotated[list[str], typer.Option("--target", help="What edgevit targets lists, or all; may be repeated.")],
    out: Annotated[Path, typer.Option("--out", help="Each artifact goes to OUT/TARGET-RECIPE.")],
    recipe: Recipes = ["fp32", "int8"],  # noqa: B006
    keep_patches: KeepPatches = [1.0],  # noqa: B006
    input: Inputs = ["tensor"],  # noqa: B006
    runtimes: Runtimes = [],  # noqa: B006
    data: Data = None,
    split: Split = "auto",
    on_bad_image: OnBad = "refuse",
    calibrate: Calibrate = None,
    calibration_images: CalibrationImages = 256,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how the model was rewritten for each, and the proofs.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Quantize, convert and check: one artifact for each target and recipe. What has not changed since is not done again.

    Exit code 0 says that every one passed. What nothing on this machine can run is made and kept, its answers are UNCHECKED,
    and the exit code is 1.
    """
    from edgevit import cache as caches
    from edgevit import checkpoint as checkpoints
    from edgevit import pipeline

    source = checkpoints.read(checkpoint)
    wanted = pipeline.merged(pipeline.pairs(target, recipe, source.config), source.config, keep_patches)
    wanted = pipeline.taking(wanted, input)
    required = pipeline.required(runtimes)
    choice = pipeline.choose_data(source, data, split, on_bad_image)
    for line in [*map(figures.left_out, pipeline.left_out(target)), pipeline.lost_origin(source, recipe)]:
        if line:
            console.note(line)
    seen = pipeline.choose_calibration(source, calibrate, calibration_images, on_bad_image)
    cache = None if no_cache else caches.opened(console.note)
    made = []
    with console.progress() as progress:
        for artifact in pipeline.export(checkpoint, wanted, choice, out, force, progress, jobs, cache, seen, required):
            console.note(f"{artifact.name}: {artifact.outcome.value}{figures.reused(artifact)}")
            made.append(artifact)
    console.json(made) if json else _show_artifacts(made)
    if explain and not json:
        _show_rewrites(made)
    _leave_unless_passed(made)


def _show_rewrites(made: list[Artifact]) -> None:
    for artifact in made:
        if rows := figures.rewrite_rows(artifact):
            console.table(f"How {artifact.name} was rewritten", figures.REWRITE_COLUMNS, rows)
        if rows := figures.island_rows(artifact):
            console.table(f"What {artifact.name} keeps in float32", figures.ISLAND_COLUMNS, rows)
    for line in figures.rewrite_notes(made):
        console.note(line)


def _show_artifacts(made: list[Artifact]) -> None:
    console.table("Artifacts", figures.ARTIFACT_COLUMNS, [figures.artifact_row(a) for a in made])
    for line in figures.artifact_notes(made):
        console.note(line)
    show_runtimes(made)


def _leave_unless_passed(made: list[Artifact]) -> None:
    if any(a.outcome is not Outcome.PASS for a in made):
        raise typer.Exit(1)


@command
def check(
    artifact: Path,
    data: Data = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint is now, if it was moved.")] = None,
    split: Split = "auto",
    on_bad_image: OnBad = "refuse",
    json: Json = False,
) -> None:
    """Verify an artifact by hash, look its integers up, and compare it with its checkpoint image by image."""
    from edgevit import pipeline

    with console.progress() as progress:
        checked = pipeline.check(artifact, checkpoint, data, split, on_bad_image, progress)
    console.json(checked) if json else _show_artifacts([checked])
    _leave_unless_passed([checked])


@command
def verify(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts, or folders of them.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint is now, if it was moved.")] = None,
    json: Json = False,
) -> None:
    """Whether artifacts are still what was made: hashes, versions, metadata, the golden batch run again, the checkpoint."""
    from edgevit import pipeline, record

    with console.progress() as progress:
        found = [pipeline.verify(folder, checkpoint, progress) for folder in pipeline.artifact_folders(artifacts)]
    if json:
        console.json([{**record.builtins(one), "holds": one.holds} for one in found])
    else:
        console.table("What holds", figures.VERIFIED_COLUMNS, [row for one in found for row in figures.verified_rows(one)])
        for one in found:
            console.note(f"{one.artifact}: identity {one.identity[:16]}, as of all that is made of the same by these versions")
    if not all(one.holds for one in found):
        raise typer.Exit(1)


@command
def parity(
    artifact: Path,
    images: Annotated[list[Path], typer.Argument(help="JPEG, PNG or WebP.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint is now, if it was moved.")] = None,
    json: Json = False,
) -> None:
    """Images stage by stage, by training, by the artifact's runner and by the code in it: decoded, resized, tensor, logits."""
    from edgevit import pipeline, record

    with console.progress() as progress:
        found = pipeline.parity(artifact, images, checkpoint, progress)
    if json:
        console.json({**record.builtins(found), "holds": found.holds})
    else:
        console.table("Parity", stages.COLUMNS, stages.rows(found))
        for line in stages.notes(found):
            console.note(line)
    if not found.holds:
        raise typer.Exit(1)


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
        checkpoint, made = pipeline.demo(out, epochs, force, progress)
    if not json:
        show_trained(checkpoint)
        _show_artifacts(made)
    if not any(artifact.file for artifact in made):
        raise EdgevitError("no artifact was made, so there is nothing to report", "the reasons stand beside each above")
    with console.progress() as progress:
        measured = pipeline.demo_bench(made, progress)
        written = pipeline.demo_report(made, measured, out, command_line(), force, progress)
    if json:
        console.json(written)
    else:
        show([measured])
        for name in ("checkpoint", "export", "report.html", "report.md", "report.json"):
            console.out(str(out / name))
        console.out("\nnext, with your own images, one folder per class:\n\n    edgevit train --data FOLDER --out runs/mine\n")
    _leave_unless_passed(made)
