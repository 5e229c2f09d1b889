"""The options of `train` and `pretrain` that say how a model is trained, in the panels that --help shows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

_start = partial(typer.Option, rich_help_panel="What it begins from")
_model = partial(typer.Option, rich_help_panel="The model")
_images = partial(typer.Option, rich_help_panel="The images")
_learning = partial(typer.Option, rich_help_panel="How it learns; the preset sets what is not said")
_harder = partial(typer.Option, rich_help_panel="What makes it general; the preset sets what is not said")
_teacher = partial(typer.Option, rich_help_panel="A teacher")
_computed = partial(
    typer.Option, rich_help_panel="What it is computed by; --resume may change it, but for --precision and --auto-batch"
)
_search = partial(typer.Option, rich_help_panel="A search for settings, judged on a tenth of the training images")

Out = Annotated[Path, typer.Option("--out", help="The folder of the run.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Default: 0.")]
Device = Annotated[str | None, _computed("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[
    str | None,
    _computed(
        "--precision",
        help="float32 or bfloat16. Default: bfloat16 on a GPU, and on a CPU that has it where this model gains by it.",
    ),
]
AutoBatch = Annotated[
    bool | None,
    _computed("--auto-batch", help="Divide a batch that does not fit in memory; a step still sees as many images."),
]
Compile = Annotated[bool | None, _computed("--compile/--no-compile", help="Compile the model. Default: on a GPU.")]
Recompute = Annotated[
    bool | None,
    _computed("--recompute/--no-recompute", help="Compute the blocks again on the way back: less memory, a third more time."),
]
Parallel = Annotated[
    str | None,
    _computed("--parallel", help="Under torchrun: ddp (each worker has the model) or fsdp (each keeps a part). Default: ddp."),
]
SaveMinutes = Annotated[
    float | None, _computed("--save-minutes", min=0, help="Between saves within an epoch; 0: after each step. Default: 10.")
]

Watch = Annotated[
    str | None,
    typer.Option(
        "--watch", help="Who follows it, with commas between: tensorboard, wandb, mlflow; or none. Default: tensorboard."
    ),
]

Preset = Annotated[
    str | None,
    _start("--preset", help="auto, scratch, finetune, paper (SGD) or probe (head alone): sets all that is not said below."),
]
Start = Annotated[
    str | None, _start("--from", help="A checkpoint to fine-tune: edgevit import and edgevit pretrain make some, too.")
]
Encoder = Annotated[str | None, _start("--from", help="A checkpoint whose encoder is trained on.")]
FromPlan = Annotated[
    Path | None, _start("--from-plan", help="What edgevit plan --out made: the shape and image size of one of its choices.")
]
ChoiceNumber = Annotated[int | None, _start("--choice", min=1, help="Of --from-plan, by its number. Default: 1.")]
Quantize = Annotated[
    str | None,
    _start("--quantize", help="A recipe whose rounding the model learns to live with, taught by --from itself: int4-g32."),
]
KeepHead = Annotated[bool | None, _start("--keep-head", help="Keep the head of --from; the classes are the same.")]
Freeze = Annotated[bool | None, _start("--freeze", help="Train the head alone.")]

Model = Annotated[str | None, _model("--model", help="A variant: edgevit models lists them. Default: by image size.")]
ImageSize = Annotated[
    str | None, _model("--image-size", help="Pixels, 224 or 192x256. Default: that of --from, or about the images' own, or 224.")
]
Pool = Annotated[str | None, _model("--pool", help="cls, mean or distilled. Default: cls.")]
Positions = Annotated[str | None, _model("--positions", help="none, 1d, 2d, relative or sincos. Default: 1d.")]
Registers = Annotated[int | None, _model("--registers", help="Register tokens. Default: 0.")]
Gelu = Annotated[str | None, _model("--gelu", help="erf (exact) or tanh. Default: erf.")]
Representation = Annotated[
    int | None, _model("--representation", help="Width of a tanh layer before the head. Default: 0, none.")
]
KeepPatches = Annotated[
    float | None,
    _model("--keep-patches", help="Share of the patches that are left after merging, 0.25 to 1. Default: as --from, or 1."),
]

Data = Annotated[
    str | None,
    _images(
        "--data",
        help="digits (built in), hf:NAME, or a path: a folder per class, shards, a CIFAR archive, idx files, .npz, .csv, .jsonl.",
    ),
]
Fraction = Annotated[float | None, _images("--fraction", help="Of each class's training images. Default: 1, all.")]
HeldOut = Annotated[float | None, _images("--held-out", help="Of each class, where the source holds nothing out. Default: 0.2.")]
OnBad = Annotated[str | None, _images("--on-bad-image", help="refuse or skip. Default: refuse.")]

Epochs = Annotated[int | None, _learning("--epochs", min=1, help="Passes over the images. Default: by their number.")]
Batch = Annotated[int | None, _learning("--batch", min=1, help="Images in a step. Default: by their number.")]
Accumulate = Annotated[int | None, _learning("--accumulate", min=1, help="Batches whose gradients make one step. Default: 1.")]
Optimiser = Annotated[str | None, _learning("--optimiser", help="adamw or sgd.")]
Rate = Annotated[float | None, _learning("--lr", help="Peak learning rate. Default: by the preset.")]
RateGrid = Annotated[
    str | None,
    _learning("--lr-grid", help="Learning rates to choose from on a part of the training images, as 0.001,0.003,0.01,0.03."),
]
Decay = Annotated[float | None, _learning("--weight-decay", help="Of the matrices. Default: by the preset.")]
LayerDecay = Annotated[float | None, _learning("--layer-decay", help="Factor of the rate from each block to the one below.")]
Warmup = Annotated[float | None, _learning("--warmup", help="Fraction of the steps.")]
Average = Annotated[float | None, _learning("--ema", help="Decay of an average of the weights, as 0.999; 0 for none.")]

Augment = Annotated[str | None, _harder("--augment", help="none, light (scans, drawings), photo or strong.")]
Mirror = Annotated[bool | None, _harder("--mirror/--no-mirror", help="Half of the images. Default: by --augment.")]
LabelSmoothing = Annotated[float | None, _harder("--label-smoothing", help="Default: by the preset.")]
Mixup = Annotated[float | None, _harder("--mixup", help="Fraction of the batches.")]
Cutmix = Annotated[float | None, _harder("--cutmix", help="Fraction of the batches.")]
Erasing = Annotated[float | None, _harder("--erasing", help="Fraction of the images.")]
DropPath = Annotated[float | None, _harder("--drop-path", help="Stochastic depth: of the last block's branches.")]

Teacher = Annotated[str | None, _teacher("--teacher", help="A larger checkpoint to distil, of the same classes.")]
Distil = Annotated[
    str | None,
    _teacher(
        "--distil",
        help="soft (its probabilities beside the labels), token (DeiT's) or answers (its probabilities alone). "
        "Default: soft; token with --pool distilled; answers with --quantize.",
    ),
]

Search = Annotated[
    list[str],
    _search("--search", help="A setting with a range or values, as lr=1e-4..1e-2 or batch=32,64,128; may be repeated."),
]
Trials = Annotated[int | None, _search("--trials", min=1, help="How many. Default: 20, or all points where there are no more.")]
WholeGrid = Annotated[bool, _search("--grid", help="Try every combination of the values.")]
Storage = Annotated[
    str | None,
    _search(
        "--storage",
        help="Where several processes and machines share a search: sqlite:///FILE, journal:FILE, postgresql://... "
        "(or in EDGEVIT_STORAGE). Default: beside --out.",
    ),
]
Study = Annotated[str | None, _search("--study", help="Its name there. Default: that of --out.")]
NoPrune = Annotated[bool, _search("--no-prune", help="Train every trial to its end.")]
NoFinal = Annotated[bool, _search("--no-final", help="Do not train with the best settings on all images.")]
