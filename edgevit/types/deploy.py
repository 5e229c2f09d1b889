"""What a model becomes: the artifact, and how it came out."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from edgevit.types.accuracy import Paired
from edgevit.types.model import Merge, Preprocess, ViTConfig
from edgevit.types.quant import QuantRecipe
from edgevit.types.target import Input, Tolerance


class Outcome(enum.StrEnum):
    """How an artifact came out; a failure names the stage that stopped.

    UNCHECKED: made and delegated as it should be, but nothing on this machine runs it, so nobody knows its answers.
    """

    PASS = "PASS"
    UNCHECKED = "UNCHECKED"
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

    None where it cannot be counted on this machine; `reason` then says why. Where nodes are counted without the back end,
    `subgraphs` is None, and `reason` says how they were counted and names what is outside.
    """

    subgraphs: int | None = None
    inside: int | None = None
    outside: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Rewritten:
    """One rewrite as it was applied: how many `parts` of the model it replaced, and the proof.

    `float64` and `float32` are the relative difference of the logits from the checkpoint's after it and all before it: of a
    float64 twin on a random image, and on real images. One that is not `exact` changes the function.
    """

    name: str
    replaces: str
    why: str
    exact: bool
    parts: int
    float64: float
    float32: float


@dataclass(frozen=True)
class Ran:
    """An artifact in one runtime that may open it: how that came out, on `images` images.

    `relative_error` is over the golden batch, from what the artifact's own runtime gave; accuracies are fractions of 1, answers
    are compared with the checkpoint's. Without figures where it did not get so far, or judges alone.
    """

    runtime: str
    outcome: Outcome
    reason: str = ""
    images: int = 0
    top1: float | None = None
    reference_top1: float | None = None
    agreement: float | None = None
    relative_error: float | None = None
    where: str = "none"
    version: str = ""
    required: bool = False
    """Whether what goes wrong in it fails the artifact."""

    @property
    def right(self) -> bool:
        return self.outcome is Outcome.PASS


@dataclass(frozen=True)
class Island:
    """An operator that a file of float16 keeps in float32: it reads or writes a value that comes too near to the end of float16.

    `place` is the part of the model that it belongs to or comes after, `largest` the largest such value on real images.
    """

    name: str
    operator: str
    place: str
    largest: float


def artifact_name(target: str, recipe: str, merges: tuple[Merge, ...], input: Input = Input.TENSOR) -> str:
    """What an artifact and its folder are called: with the patches that are left, where some are merged; and what it takes."""
    patches = [f"{merge.patches}patches" for merge in merges[-1:]]
    return "-".join([target, recipe, *patches, *([input.value] if input is not Input.TENSOR else [])])


@dataclass(frozen=True)
class Artifact:
    """One exported model: a folder with the model file, golden inputs and logits, and this record as `artifact.json`.

    `sha256` is that of the model file; for a folder (.mlpackage) that of its sorted "hash  path" lines. `seconds` and
    `peak_bytes` are those of the conversion, of when it was done: `reused` names the stages (convert, check) that were taken
    from the cache, since nothing that they depend on has changed. Accuracies are fractions of 1, over the `images` images.
    Where an export merged patches that the checkpoint does not, `config` says so. The answers are compared with the checkpoint's;
    `relative_error` is that of the golden logits from the model as it was converted, quantized and merged, `quantization_error`
    the one from the checkpoint's own, where it was quantized.
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
    quantization_error: float | None = None
    paired: Paired | None = None
    same_integers: bool | None = None
    split: str = ""
    """Which images of `data` they were: `held-out`, `train`, `test` or `all`."""
    where: str = "none"
    runtime: str = ""
    machine: str = ""
    """Where it was checked."""
    input: Input = Input.TENSOR
    """What the file takes and gives. Where it gives probabilities, relative errors are of those."""
    rewrites: tuple[Rewritten, ...] = ()
    """How the checkpoint's model was rewritten for the back end, in order, each with its proof."""
    runtimes: tuple[Ran, ...] = ()
    """The same images in the other runtimes that may open it."""
    notes: tuple[str, ...] = ()
    """What its file could not hold, or had to be told."""
    islands: tuple[Island, ...] = ()
    """What is kept in float32 where all else is in float16."""
    tolerance: Tolerance | None = None
    quantization: QuantRecipe | None = None
    """The recipe whole."""
    calibration: str = ""
    """How many images of what it was calibrated on."""
    config: ViTConfig | None = None
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] = ()
    data: str = ""
    data_sha256: str = ""
    """Of the images that it was checked on, as they reach the model, with their names and classes."""
    calibration_sha256: str = ""
    """Of those that it was calibrated on, as they reach the model."""
    checkpoint: str = ""
    """Path of the checkpoint, relative to the artifact's folder."""
    checkpoint_sha256: str = ""
    origin: str = ""
    """Path of the checkpoint that its answers are compared with, where the one it was made from learned with the rounding."""
    origin_sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every file of the folder but `artifact.json`."""
    versions: dict[str, str] = field(default_factory=dict)
    reused: tuple[str, ...] = ()
    identity: str = ""
    """sha256 of what was made: the same for the same checkpoint, calibration, recipe and versions, whenever that is made."""
    seal: str = ""
    """sha256 of this record without it."""
    folder: Path = Path()

    @property
    def name(self) -> str:
        return artifact_name(self.target, self.recipe, self.merges, self.input)

    @property
    def merges(self) -> tuple[Merge, ...]:
        return self.config.merges if self.config else ()


@dataclass(frozen=True)
class Described:
    """What a model file says of itself, for whoever has nothing but the file; None of what it does not say.

    `versions` are edgevit's and that of the runtime that it was made for, by the names of their packages.
    """

    labels: tuple[str, ...] | None = None
    preprocess: Preprocess | None = None
    input: Input | None = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundled:
    """A program with inputs and the outputs that are expected of it, in one file.

    `expected` says whose outputs they are. `passed` is None where nothing here runs it, and `reason` then says why, or what went
    wrong. The test holds where no output is farther from its own than `atol`.
    """

    file: Path
    bytes: int
    images: int
    expected: str
    atol: float
    passed: bool | None
    reason: str = ""


@dataclass(frozen=True)
class Exported:
    """What one conversion left: the model file's name, how much of it the back end takes, and how the model was rewritten.

    `islands` are what is kept in float32 where all else is in float16.
    """

    file: str
    delegation: Delegation
    rewrites: tuple[Rewritten, ...]
    islands: tuple[Island, ...] = ()
