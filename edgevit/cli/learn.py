"""The commands that make and judge checkpoints: train, pretrain, eval."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgevit.cli import console, courses, searching, settings
from edgevit.cli.app import command, exit_code
from edgevit.cli.options import Data, Force, Json, OnBad, Split, size
from edgevit.errors import BadInput
from edgevit.types import Checkpoint, silent


@command
def train(
    out: settings.Out,
    data: settings.Data = None,
    preset: settings.Preset = None,
    start: settings.Start = None,
    from_plan: settings.FromPlan = None,
    choice: settings.ChoiceNumber = None,
    quantize: settings.Quantize = None,
    keep_head: settings.KeepHead = None,
    freeze: settings.Freeze = None,
    model: settings.Model = None,
    image_size: settings.ImageSize = None,
    pool: settings.Pool = None,
    positions: settings.Positions = None,
    registers: settings.Registers = None,
    gelu: settings.Gelu = None,
    representation: settings.Representation = None,
    keep_patches: settings.KeepPatches = None,
    epochs: settings.Epochs = None,
    batch: settings.Batch = None,
    accumulate: settings.Accumulate = None,
    optimiser: settings.Optimiser = None,
    lr: settings.Rate = None,
    lr_grid: settings.RateGrid = None,
    weight_decay: settings.Decay = None,
    layer_decay: settings.LayerDecay = None,
    warmup: settings.Warmup = None,
    ema: settings.Average = None,
    augment: settings.Augment = None,
    mirror: settings.Mirror = None,
    label_smoothing: settings.LabelSmoothing = None,
    mixup: settings.Mixup = None,
    cutmix: settings.Cutmix = None,
    erasing: settings.Erasing = None,
    drop_path: settings.DropPath = None,
    teacher: settings.Teacher = None,
    distil: settings.Distil = None,
    fraction: settings.Fraction = None,
    held_out: settings.HeldOut = None,
    on_bad_image: settings.OnBad = None,
    seed: settings.Seed = None,
    device: settings.Device = None,
    precision: settings.Precision = None,
    auto_batch: settings.AutoBatch = None,
    compile: settings.Compile = None,
    recompute: settings.Recompute = None,
    parallel: settings.Parallel = None,
    save_minutes: settings.SaveMinutes = None,
    watch: settings.Watch = None,
    search: settings.Search = [],  # noqa: B006
    trials: settings.Trials = None,
    grid: settings.WholeGrid = False,
    storage: settings.Storage = None,
    study: settings.Study = None,
    no_prune: settings.NoPrune = False,
    no_final: settings.NoFinal = False,
    resume: settings.Resume = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a Vision Transformer on labelled images, or fine-tune one; with --search, find settings first."""
    wanted = searching.Wanted(tuple(search), trials, grid, storage, study, not no_prune, not no_final)
    given = _given(locals(), OF_THE_RUN)
    given |= _planned(from_plan, choice, given)
    rates = _rates(lr_grid)
    if rates and (lr is not None or resume):
        raise BadInput("--lr-grid chooses the learning rate", "leave out --lr and --resume")
    if search or rates:
        _alone("a search")
    if searching.begins(wanted, rates, out, resume):
        searching.run(given, wanted, out, resume, force, json)
        return
    _run(given, out, rates, resume, force, json)


@command
def pretrain(
    out: settings.Out,
    data: settings.Data = None,
    start: settings.Encoder = None,
    model: settings.Model = None,
    image_size: settings.ImageSize = None,
    pool: settings.Pool = None,
    positions: settings.Positions = None,
    registers: settings.Registers = None,
    gelu: settings.Gelu = None,
    epochs: settings.Epochs = None,
    batch: settings.Batch = None,
    lr: settings.Rate = None,
    weight_decay: settings.Decay = None,
    augment: settings.Augment = None,
    mirror: settings.Mirror = None,
    held_out: settings.HeldOut = None,
    on_bad_image: settings.OnBad = None,
    seed: settings.Seed = None,
    device: settings.Device = None,
    precision: settings.Precision = None,
    auto_batch: settings.AutoBatch = None,
    compile: settings.Compile = None,
    recompute: settings.Recompute = None,
    parallel: settings.Parallel = None,
    save_minutes: settings.SaveMinutes = None,
    watch: settings.Watch = None,
    resume: settings.Resume = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train an encoder on images without labels, by masked patch prediction; edgevit train --from gives it a head."""
    given = {**_given(locals(), ("out", "resume", "force", "json")), "objective": "masked patches"}
    _run(given, out, (), resume, force, json)


OF_THE_RUN = (
    "out", "from_plan", "choice", "lr_grid", "resume", "force", "json", "search", "trials", "grid", "storage", "study",
    "no_prune", "no_final", "wanted",
)  # fmt: skip
"""Options of `train` that are no settings of a training."""


def _given(options: Mapping[str, Any], others: tuple[str, ...]) -> dict[str, Any]:
    """What the user said, by the names of TrainConfig."""
    given = {name: value for name, value in options.items() if value is not None and name not in others}
    return {**given, "image_size": size(given["image_size"])} if "image_size" in given else given


def _alone(what: str) -> None:
    from edgevit import pipeline

    pipeline.require_alone(what)


OF_A_SHAPE = ("start", "model", "image_size", "pool", "positions", "registers", "gelu", "representation", "keep_patches")
"""Settings that a planned model has decided."""


def _planned(path: Path | None, number: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Model and image size of a plan's choice. Raises BadInput beside whatever would make another model of it."""
    from edgevit import pipeline

    if path is None:
        if number is not None:
            raise BadInput("--choice is one of a plan", "--from-plan says of which")
        return {}
    if said := [name for name in OF_A_SHAPE if name in given]:
        named = ", ".join("--" + {"start": "from"}.get(name, name).replace("_", "-") for name in said)
        raise BadInput(f"--from-plan decides the model, and {named} would change it", f"leave out {named}, or --from-plan")
    chosen = pipeline.planned(path, 1 if number is None else number)
    one, slowest = chosen.candidate, max(chosen.estimates, key=lambda estimate: estimate.p50_ms)
    console.note(f"planned: {one.name}: {slowest.p50_ms:.2f} ms on {slowest.device}")
    return {"model": one.shape.variant, "image_size": one.shape.image_size}


def _rates(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise BadInput(
            f"not a list of learning rates: {text}", "give numbers with commas between, as 0.001,0.003,0.01,0.03"
        ) from None


def _run(given: dict[str, Any], out: Path, rates: tuple[float, ...], resume: bool, force: bool, json: bool) -> None:
    from edgevit import pipeline

    if not resume and "data" not in given:
        raise BadInput("nothing to train on", "--data takes a built-in name (digits) or a path")
    try:
        resume = pipeline.goes_on(out, resume)
        if resume and (said := pipeline.mend(out)):
            console.note(f"warning: {said}")
        with console.progress() if pipeline.speaks() else contextlib.nullcontext(silent) as progress:
            if resume:
                checkpoint = pipeline.resume(given, out, progress)
            elif rates:
                checkpoint = pipeline.train_best_rate(pipeline.settings(given), rates, out, force, progress)
            else:
                checkpoint = pipeline.train(pipeline.settings(given), out, force, progress)
    except KeyboardInterrupt as stop:
        verb = "pretrain" if "objective" in given else "train"
        goes_on = f"what is done stays whole, and goes on with: edgevit {verb} --resume --out {out}"
        if pipeline.speaks():
            console.note(f"stopped; {goes_on if pipeline.can_go_on(out) else 'no epoch was finished, nothing was changed'}")
        raise typer.Exit(exit_code(stop)) from None
    if not pipeline.speaks():
        return
    if json:
        console.json(checkpoint)
        courses.faults(pipeline.course(out))
        return
    show_trained(checkpoint)
    _show_course(out)
    console.note(f"\nnext: {_next(checkpoint, out)}")


def _show_course(out: Path) -> None:
    """How it went, with its curves where they can be seen, and what did not follow it."""
    from edgevit import pipeline

    course = pipeline.course(out)
    for line in courses.lines(course):
        console.out(line)
    if console.width()[1]:
        console.out("")
        courses.show([course], courses.AFTER)
    courses.faults(course)


def _next(checkpoint: Checkpoint, out: Path) -> str:
    """An export goes beside the run: in its folder, `train --force` would take it away, and so refuses."""
    if checkpoint.labels:
        named = out if out.name.strip(".") else out.resolve()
        return f"edgevit export {out} --target all --out {named.with_name(f'{named.name}-export')}"
    return f"edgevit train --from {out} --data LABELLED_IMAGES --out runs/fine-tuned"


def show_trained(checkpoint: Checkpoint) -> None:
    from edgevit.vit.config import shown

    config, metrics, train = checkpoint.config, checkpoint.metrics, checkpoint.train
    name_skipped(checkpoint.skipped)
    console.out(f"{checkpoint.folder}: {config.variant} at {shown(config.image_size)} px, {config.classes} classes")
    learned = f"top-1 {100 * metrics['val_top1']:.2f} %" if "val_top1" in metrics else f"loss {metrics['val_loss']:.4f}"
    chosen = ", the best of all on these images" if checkpoint.chosen_by else ""
    console.out(f"{learned} held-out, epoch {metrics['epoch']:.0f} of {train.epochs if train else '?'}{chosen}")


@command
def eval(
    checkpoint: Path,
    data: Data = None,
    split: Split = "auto",
    on_bad_image: OnBad = "refuse",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A folder for the confusion matrix and the calibration as pictures, and all figures."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """How well a checkpoint answers its held-out images, or others: top-1 and top-5, class by class, calibration."""
    from edgevit import checkpoint as checkpoints
    from edgevit import pipeline
    from edgevit.cli import figures

    choice = pipeline.choose_data(checkpoints.read(checkpoint), data, split, on_bad_image)
    if out:
        pipeline.refuse_evaluated(out, force)
    with console.progress() as progress:
        found = pipeline.evaluate(checkpoint, choice, progress)
        files = pipeline.draw_evaluation(found, out, progress) if out else []
    if json:
        console.json(found)
        return
    for line in figures.evaluation(found):
        console.out(line)
    name_skipped(found.skipped)
    for file in files:
        console.out(str(file))


def name_skipped(skipped: tuple[str, ...]) -> None:
    for name in skipped:
        console.note(f"skipped, unreadable: {name}")
