"""What running a model shows: answers, accuracy, latency, and the report of it all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from edgevit.types.accuracy import Paired
from edgevit.types.deploy import Delegation, Outcome

if TYPE_CHECKING:
    import numpy as np


class Runner(Protocol):
    """A loaded model, called like the original: images (N, 3, H, W) float32, preprocessed, to logits (N, classes)."""

    where: str
    """`host` or `device` where the real runtime runs, `reference` where an evaluator stands in for it."""
    threads: int | None

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class DataChoice:
    """Which images of a source are meant, and whether an unreadable one is refused or skipped.

    `split` is `train`, `held-out`, `test`, `all`, or `auto`: what the checkpoint was not trained on.
    """

    spec: str
    split: str
    on_bad: str


@dataclass(frozen=True)
class Repeated:
    """The golden batch of an artifact, run again beside the logits that it holds; `reason` where nothing here runs it."""

    relative_error: float | None = None
    other: int = 0
    """Images that get another answer."""
    images: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Looked:
    """One thing that was looked at, and whether it holds: None where that cannot be told here."""

    what: str
    holds: bool | None
    words: str


@dataclass(frozen=True)
class Verified:
    """Whether an artifact is still what it was when it was made."""

    artifact: str
    identity: str
    looked: tuple[Looked, ...]

    @property
    def holds(self) -> bool:
        return all(one.holds is not False for one in self.looked)


@dataclass(frozen=True)
class Calibration:
    """Images that quantizing may look at: at most `images` of those that `data` means, spread over them."""

    IMAGES: ClassVar[int] = 256
    """Of those that are not named: as many as a recipe needs, and no more than a minute's work."""

    data: DataChoice
    images: int = IMAGES


@dataclass(frozen=True)
class CheckResult:
    """What running an artifact on a set of images showed, beside its checkpoint on the same images.

    Without figures where nothing here can run it: UNCHECKED, and `reason` says why.
    """

    outcome: Outcome
    reason: str
    top1: float | None = None
    reference_top1: float | None = None
    agreement: float | None = None
    images: int = 0
    relative_error: float | None = None
    quantization_error: float | None = None
    paired: Paired | None = None
    where: str = "none"
    skipped: tuple[str, ...] = ()
    split: str = ""
    """Which images of the source were meant: what `auto` came to."""
    same_integers: bool | None = None
    """Whether the saved file holds the recipe's own integers; None where the recipe makes none."""


@dataclass(frozen=True)
class ClassScore:
    """One class: its `images`, those of them that were answered `right`, and all images that were `answered` with it.

    `recall` is right / images, `precision` right / answered; None where that would be a division by nothing.
    """

    label: str
    images: int
    right: int
    answered: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Confused:
    """How many `images` of the class `truth` were answered `answer`. `classes` are their numbers: two may share a label."""

    truth: str
    answer: str
    images: int
    classes: tuple[int, int]


@dataclass(frozen=True)
class Bin:
    """The images whose answer had a probability above `low` and up to `high`: their mean `confidence`, and their `accuracy`."""

    low: float
    high: float
    images: int
    confidence: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class EvalResult:
    """How good a checkpoint is on `images` images. Shares are fractions of 1; `low` and `high` end top-1's 95 % Wilson interval.

    `top5` is None for up to five classes, where it is always 1. `ece` is the expected calibration error over `bins` of equal
    width (arXiv 1706.04599, equation 3). `per_class` is the diagonal of the confusion matrix with its margins, and `confused` all
    that is off it, most images first. `skipped` names the unreadable images.
    """

    top1: float
    images: int
    low: float
    high: float
    loss: float
    skipped: tuple[str, ...] = ()
    top5: float | None = None
    ece: float | None = None
    bins: tuple[Bin, ...] = ()
    per_class: tuple[ClassScore, ...] = ()
    confused: tuple[Confused, ...] = ()


@dataclass(frozen=True)
class OperatorTime:
    """All operators of one kind: how many, and the sum of their medians in milliseconds; whether a delegate computes them."""

    name: str
    count: int
    milliseconds: float
    delegated: bool


@dataclass(frozen=True)
class BlockTime:
    """The operators of one part of a Transformer in their order: how many, and the sum of their medians in milliseconds."""

    name: str
    count: int
    milliseconds: float


@dataclass(frozen=True)
class Profile:
    """A run of a program by operator, longest first: the median of the `whole` in milliseconds, over `runs` runs.

    `traced` says whether the operators within a delegate are told apart; else each of its calls is one. `blocks` are the same
    operators by Transformer block, none where the order of their kinds does not tell the blocks apart.
    """

    whole: float
    runs: int
    operators: tuple[OperatorTime, ...]
    traced: bool
    blocks: tuple[BlockTime, ...] = ()


@dataclass(frozen=True)
class Gain:
    """What a rewrite gives: the time of a file without it, as a multiple of that of the file with all.

    `ratio` is the median over rounds in which each was launched once, `low` and `high` its 95 % interval. `delegation` is that
    of the file without it. One that could not be made or measured says why in `reason`.
    """

    rewrite: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    delegation: Delegation = field(default_factory=Delegation)
    reason: str = ""


@dataclass(frozen=True)
class Gains:
    """What each rewrite of an artifact gives on a machine; `p50_ms` is the artifact's own median there, in milliseconds."""

    artifact: str
    p50_ms: float | None
    delegation: Delegation
    gains: tuple[Gain, ...]
    threads: int | None
    launches: int
    machine: str
    reason: str = ""
    """Why the artifact itself could not be measured."""


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first."""

    image: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    where: str
