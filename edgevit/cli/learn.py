"""The commands that make and judge checkpoints: train, pretrain, eval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgevit.cli import console
from edgevit.cli.app import command
from edgevit.cli.options import Data, Force, Json, OnBad, Split, size
from edgevit.errors import BadInput
from edgevit.types import Checkpoint, TrainConfig

Out = Annotated[Path, typer.Option("--out", help="The folder of the run.")]
Model = Annotated[str | None, typer.Option("--model", help="A variant: edgevit models lists them. Default: by image size.")]
ImageSize = Annotated[
    str | None, typer.Option("--image-size", help="Pixels, 224 or 192x256. Default: that of --from, or the images' own, or 224.")
]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the images. Default: by their number.")]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Images in a step. Default: by their number.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate. Default: by the preset.")]
Decay = Annotated[float | None, typer.Option("--weight-decay", help="Of the matrices. Default: by the preset.")]
Augment = Annotated[str | None, typer.Option("--augment", help="none, light (scans, drawings), photo or strong.")]
Mirror = Annotated[bool | None, typer.Option("--mirror/--no-mirror", help="Half of the images. Default: by --augment.")]
Pool = Annotated[str | None, typer.Option("--pool", help="cls, mean or distilled. Default: cls.")]
Positions = Annotated[str | None, typer.Option("--positions", help="none, 1d, 2d, relative or sincos. Default: 1d.")]
Registers = Annotated[int | None, typer.Option("--registers", help="Register tokens. Default: 0.")]
Gelu = Annotated[str | None, typer.Option("--gelu", help="erf (exact) or tanh. Default: erf.")]
HeldOut = Annotated[
    float | None, typer.Option("--held-out", help="Of each class, where the source holds nothing out. Default: 0.2.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Default: 0.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[
    str | None,
    typer.Option("--precision", help="float32 or bfloat16, which pays on a GPU and on a CPU with AMX. Default: by the device."),
]
OnBadTraining = Annotated[str | None, typer.Option("--on-bad-image", help="refuse or skip. Default: refuse.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")]


@command
def train(
    out: Out,
    data: Data = None,
    preset: Annotated[
        str | None,
        typer.Option(help="auto, scratch, finetune, paper (SGD) or probe (head alone): sets all that is not said below."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="A checkpoint to fine-tune: edgevit import and edgevit pretrain make some, too.")
    ] = None,
    keep_head: Annotated[
        bool | None, typer.Option("--keep-head", help="Keep the head of --from; the classes are the same.")
    ] = None,
    freeze: Annotated[bool | None, typer.Option("--freeze", help="Train the head alone.")] = None,
    model: Model = None,
    image_size: ImageSize = None,
    pool: Pool = None,
    positions: Positions = None,
    registers: Registers = None,
    gelu: Gelu = None,
    representation: Annotated[int | None, typer.Option(help="Width of a tanh layer before the head. Default: 0, none.")] = None,
    epochs: Epochs = None,
    batch: Batch = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Batches whose gradients make one step. Default: 1.")] = None,
    optimiser: Annotated[str | None, typer.Option(help="adamw or sgd.")] = None,
    lr: Rate = None,
    lr_grid: Annotated[
        str | None, typer.Option(help="Learning rates to choose from on a part of the training images, as 0.001,0.003,0.01,0.03.")
    ] = None,
    weight_decay: Decay = None,
    layer_decay: Annotated[float | None, typer.Option(help="Factor of the rate from each block to the one below.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Fraction of the steps.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Default: by the preset.")] = None,
    augment: Augment = None,
    mirror: Mirror = None,
    mixup: Annotated[float | None, typer.Option(help="Fraction of the batches.")] = None,
    cutmix: Annotated[float | None, typer.Option(help="Fraction of the batches.")] = None,
    erasing: Annotated[float | None, typer.Option(help="Fraction of the images.")] = None,
    drop_path: Annotated[float | None, typer.Option(help="Stochastic depth: of the last block's branches.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of an average of the weights, as 0.999; 0 for none.")] = None,
    teacher: Annotated[str | None, typer.Option(help="A larger checkpoint to distil, of the same classes.")] = None,
    distil: Annotated[str | None, typer.Option(help="soft (its probabilities) or token (DeiT's). Default: soft.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Of each class's training images. Default: 1, all.")] = None,
    held_out: HeldOut = None,
    seed: Seed = None,
    device: Device = None,
    precision: Precision = None,
    on_bad_image: OnBadTraining = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a Vision Transformer on labelled images, or fine-tune one."""
    given = _given(locals(), ("out", "lr_grid", "resume", "force", "json"))
    rates = _rates(lr_grid)
    if rates and (lr is not None or resume):
        raise BadInput("--lr-grid chooses the learning rate", "leave out --lr and --resume")
    _run(given, out, rates, resume, force, json)


@command
def pretrain(
    out: Out,
    data: Data = None,
    start: Annotated[str | None, typer.Option("--from", help="A checkpoint whose encoder is trained on.")] = None,
    model: Model = None,
    image_size: ImageSize = None,
    pool: Pool = None,
    positions: Positions = None,
    registers: Registers = None,
    gelu: Gelu = None,
    epochs: Epochs = None,
    batch: Batch = None,
    lr: Rate = None,
    weight_decay: Decay = None,
    augment: Augment = None,
    mirror: Mirror = None,
    held_out: HeldOut = None,
    seed: Seed = None,
    device: Device = None,
    precision: Precision = None,
    on_bad_image: OnBadTraining = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train an encoder on images without labels, by masked patch prediction; edgevit train --from gives it a head."""
    given = {**_given(locals(), ("out", "resume", "force", "json")), "objective": "masked patches"}
    _run(given, out, (), resume, force, json)


def _given(options: Mapping[str, Any], others: tuple[str, ...]) -> dict[str, Any]:
    """What the user said, by the names of TrainConfig."""
    given = {name: value for name, value in options.items() if value is not None and name not in others}
    return {**given, "image_size": size(given["image_size"])} if "image_size" in given else given


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
        with console.progress() as progress:
            if resume:
                checkpoint = pipeline.resume(given, out, progress)
            elif rates:
                checkpoint = pipeline.train_best_rate(_settings(given), rates, out, force, progress)
            else:
                checkpoint = pipeline.train(_settings(given), out, force, progress)
    except KeyboardInterrupt:
        verb = "pretrain" if "objective" in given else "train"
        goes_on = f"what is done stays whole, and goes on with: edgevit {verb} --resume --out {out}"
        console.note(f"stopped; {goes_on if pipeline.can_go_on(out) else 'no epoch was finished, nothing was changed'}")
        raise typer.Exit(130) from None
    if json:
        console.json(checkpoint)
        return
    show_trained(checkpoint)
    console.note(f"\nnext: {_next(checkpoint, out)}")


def _next(checkpoint: Checkpoint, out: Path) -> str:
    if checkpoint.labels:
        return f"edgevit export {out} --target all --out {out / 'export'}"
    return f"edgevit train --from {out} --data LABELLED_IMAGES --out runs/fine-tuned"


def _settings(given: Mapping[str, Any]) -> TrainConfig:
    try:
        return TrainConfig(**given)
    except ValueError as error:
        raise BadInput(str(error)) from error


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
