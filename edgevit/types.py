"""The nouns that every room shares. Standard library only, so that importing them costs nothing."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Progress(Protocol):
    """Called as work goes on. `total` is None where the length is not known; `done == total` ends the line."""

    def __call__(self, label: str, done: float, total: float | None) -> None: ...


def silent(label: str, done: float, total: float | None) -> None:
    """The Progress of somebody who does not watch."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True)
class ViTConfig:
    """The shape of a Vision Transformer. Sizes in pixels (image, patch) and channels (width, mlp)."""

    variant: str
    image_size: int
    patch: int
    width: int
    depth: int
    heads: int
    mlp: int
    classes: int
    pool: str = "cls"
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        sizes = (self.image_size, self.patch, self.width, self.depth, self.heads, self.mlp, self.classes)
        _require(all(0 < size <= 1 << 20 for size in sizes), "every size of a ViT must be positive")
        _require(self.image_size % self.patch == 0, f"patch {self.patch} does not divide image size {self.image_size}")
        _require(self.width % self.heads == 0, f"{self.heads} heads do not divide width {self.width}")
        _require(self.pool == "cls", f"unknown pooling {self.pool!r}")

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch

    @property
    def tokens(self) -> int:
        """Length of the sequence: the patches and the class token."""
        return self.grid**2 + 1


@dataclass(frozen=True)
class Preprocess:
    """What a pixel becomes on its way into the model: one record from training to the app.

    The image is made upright and RGB, its short side resized to `resize` pixels, the middle `crop` x `crop` cut out,
    scaled to 0..1, and normalised per channel as (x - mean) / std.
    """

    resize: int
    crop: int
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channels: str = "RGB"

    def __post_init__(self) -> None:
        _require(0 < self.crop <= self.resize <= 1 << 14, "preprocess needs 0 < crop <= resize <= 16384")
        _require(self.interpolation in ("nearest", "bilinear", "bicubic"), f"interpolation {self.interpolation!r}")
        _require(all(s > 0 for s in self.std), "std must be positive")
        _require(self.channels == "RGB", f"channel order {self.channels!r}")


@dataclass(frozen=True)
class TrainConfig:
    """How a checkpoint is trained. What is None is derived from the data and the model by `training.recipe`."""

    data: str
    model: str | None = None
    image_size: int | None = None
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.1
    augment: str = "auto"
    seed: int = 0
    held_out: float = 0.2
    on_bad_image: str = "refuse"
    device: str = "auto"

    def __post_init__(self) -> None:
        _require(self.epochs is None or 0 < self.epochs <= 100_000, "epochs must be between 1 and 100000")
        _require(self.batch is None or 0 < self.batch <= 1 << 20, "batch must be positive")
        _require(self.lr is None or 0 < self.lr < 100, "lr must be positive")
        _require(0 <= self.weight_decay < 10, "weight decay must be between 0 and 10")
        _require(0 <= self.warmup < 1, "warmup is a fraction of all steps, from 0 up to 1")
        _require(0 <= self.label_smoothing < 1, "label smoothing must be between 0 and 1")
        _require(0 < self.held_out < 1, "held-out is a fraction between 0 and 1")
        _require(self.augment in ("auto", "none", "light", "photo"), "augment must be auto, none, light or photo")
        _require(self.on_bad_image in ("refuse", "skip"), "on-bad-image must be refuse or skip")


@dataclass(frozen=True)
class Checkpoint:
    """A trained model: a folder with `model.safetensors` and this record as `checkpoint.json`."""

    config: ViTConfig
    preprocess: Preprocess
    labels: tuple[str, ...]
    train: TrainConfig
    metrics: dict[str, float]
    weights_sha256: str
    versions: dict[str, str]
    skipped: tuple[str, ...] = ()
    """Images that could not be read and that the user let go."""
    folder: Path = Path()

    def __post_init__(self) -> None:
        _require(len(self.labels) == self.config.classes, "as many labels as classes are needed")
        _require(self.preprocess.crop == self.config.image_size, "crop and image size must be equal")


@dataclass(frozen=True)
class Weights:
    """How the weights of the Linears are stored: `bits` wide integers or floats, one scale per `granularity`."""

    bits: int
    kind: str = "int"
    granularity: str = "per channel"


@dataclass(frozen=True)
class QuantRecipe:
    """What is stored in how many bits. `activations` is what a target that can do so does at run time."""

    name: str
    summary: str
    weights: Weights
    activations: str = "none"
    float_layers: str = ""
    """Which layers stay in float, and why."""


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from its checkpoint.

    `relative_error` bounds |a - b| / |b| over the golden logits, `drop` the loss of top-1 as a fraction of 1, `agreement`
    is the least fraction of images with the same answer. A set too small to show a difference may still differ in one image.
    """

    relative_error: float
    drop: float
    agreement: float


@dataclass(frozen=True)
class Library:
    """A package that a target needs: its import name, and the extra of edgevit that installs it."""

    module: str
    extra: str


@dataclass(frozen=True)
class Target:
    """Where a model runs: all that the rest of the house knows about one back end."""

    name: str
    summary: str
    converter: str
    suffix: str
    runtime: str
    recipes: dict[str, Tolerance]
    activations: bool
    """Whether the back end computes with dynamically quantized activations."""
    needs: tuple[Library, ...]
    max_subgraphs: int | None = None
    max_outside: int | None = None
    """Most delegated subgraphs, and most nodes outside them, before an export counts as UNDELEGATED."""
    not_here: str = ""
    """Why the target's own runtime cannot run on this machine, so that no latency is measured; empty where it can."""


class Outcome(enum.StrEnum):
    """How an artifact came out; a failure names the stage that stopped."""

    PASS = "PASS"
    UNDELEGATED = "UNDELEGATED"
    SKIPPED = "SKIPPED"
    QUANTIZE_FAILED = "QUANTIZE_FAILED"
    CONVERT_FAILED = "CONVERT_FAILED"
    LOAD_FAILED = "LOAD_FAILED"
    RUN_FAILED = "RUN_FAILED"
    WRONG_ANSWERS = "WRONG_ANSWERS"
    OVER_BUDGET = "OVER_BUDGET"


@dataclass(frozen=True)
class Delegation:
    """How much of a program the back end took: nodes `inside` its `subgraphs` and `outside` them.

    None where it cannot be counted on this machine; `reason` then says why.
    """

    subgraphs: int | None = None
    inside: int | None = None
    outside: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Artifact:
    """One exported model: a folder with the model file, golden inputs and logits, and this record as `artifact.json`.

    `sha256` is that of the model file; for a folder (.mlpackage) that of its sorted "hash  path" lines. `seconds` and
    `peak_bytes` are those of the conversion. Accuracies are fractions of 1, over `images` held-out images.
    """

    target: str
    recipe: str
    outcome: Outcome
    reason: str = ""
    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    delegation: Delegation = Delegation()
    seconds: float | None = None
    peak_bytes: int | None = None
    top1: float | None = None
    reference_top1: float | None = None
    agreement: float | None = None
    images: int = 0
    skipped: tuple[str, ...] = ()
    """Images that could not be read and that the user let go."""
    relative_error: float | None = None
    same_integers: bool | None = None
    where: str = "none"
    runtime: str = ""
    tolerance: Tolerance | None = None
    config: ViTConfig | None = None
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] = ()
    data: str = ""
    checkpoint: str = ""
    """Path of the checkpoint, relative to the artifact's folder."""
    checkpoint_sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every file of the folder but `artifact.json`."""
    versions: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()


class Runner(Protocol):
    """A loaded model, called like the original: images (N, 3, H, W) float32, preprocessed, to logits (N, classes)."""

    where: str
    """`host` or `device` where the real runtime runs, `reference` where an evaluator stands in for it."""
    threads: int | None

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one image, over `runs` timed calls after `warmup` untimed ones.

    Where nothing could be measured `where` is `none`, the figures are None and `reason` says why.
    """

    artifact: str
    where: str
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    runs: int = 0
    warmup: int = 0
    threads: int | None = None
    machine: str = ""
    reason: str = ""


@dataclass(frozen=True)
class DataChoice:
    """Which images of a source are meant (`train`, `held-out` or `all`), and whether an unreadable one is refused or skipped."""

    spec: str
    split: str
    on_bad: str


@dataclass(frozen=True)
class Exported:
    """What one conversion left: the model file's name, its delegation, and whether it holds the recipe's own integers."""

    file: str
    delegation: Delegation
    same_integers: bool | None


@dataclass(frozen=True)
class CheckResult:
    """What running an artifact on a set of images showed, beside its checkpoint on the same images."""

    outcome: Outcome
    reason: str
    top1: float
    reference_top1: float
    agreement: float
    images: int
    relative_error: float
    where: str
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvalResult:
    """Top-1 of a checkpoint with the 95 % Wilson interval, over `images` images; `skipped` names the unreadable ones."""

    top1: float
    images: int
    low: float
    high: float
    loss: float
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first."""

    image: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    where: str


@dataclass(frozen=True)
class Sample:
    """A held-out image of the report: a PNG as a data URI, the truth, and what each model answered, by name."""

    picture: str
    truth: str
    answers: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Everything the reader of a report sees; `report.json` is this record."""

    title: str
    made: str
    machine: str
    command: str
    checkpoint: Checkpoint
    parameters: int
    artifacts: tuple[Artifact, ...]
    latencies: tuple[Latency, ...]
    samples: tuple[Sample, ...]
    curve: tuple[dict[str, float], ...] = ()
    """One row for each epoch: epoch, loss, val_loss, val_top1."""


Job = Callable[..., object]
"""A function that a stage runs: keyword arguments and result are nouns of this file, paths, numbers and text."""
