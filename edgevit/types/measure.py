"""What running a model shows: answers, accuracy, latency, and the report of it all."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from edgevit.types.accuracy import Paired
from edgevit.types.deploy import Artifact, Outcome
from edgevit.types.device import BenchRules, DeviceFacts, Launch, Moment, Unit
from edgevit.types.look import Gallery
from edgevit.types.train import Checkpoint

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
class Latency:
    """Milliseconds for one image on one unit of a device, over all `runs` timed calls of `launches`, each after `warmup` others.

    `low_ms` and `high_ms` end the interval of the median from launch to launch (`edgevit.ranking`). Where nothing could be
    measured `where` is `none`, the figures are None and `reason` says why. Of a tool that tells no single runs the percentiles
    are None, and p50 is the median of what its launches tell.
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
    failed: bool = False
    """Whether it could have been measured here, and something broke."""
    device: str = "local"
    unit: Unit = Unit.CPU
    low_ms: float | None = None
    high_ms: float | None = None
    launches: tuple[Launch, ...] = ()
    noise: str = ""
    """Why its interval is not narrow; empty where it is."""
    answers: CheckResult | None = None
    """Images answered on the device, beside the checkpoint; None where `unanswered` says why not."""
    unanswered: str = ""
    sustained: tuple[Moment, ...] = ()

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that any of its processes held, its runtime's libraries with it."""
        return max((x.peak_bytes for x in self.launches if x.peak_bytes is not None), default=None)

    @property
    def cold_ms(self) -> float | None:
        return _median(x.cold_ms for x in self.launches)

    @property
    def warm_ms(self) -> float | None:
        return _median(x.warm_ms for x in self.launches)

    @property
    def first_ms(self) -> float | None:
        return _median(x.first_ms for x in self.launches)

    @property
    def per_second(self) -> float | None:
        """Images, one after the other."""
        return 1000 / self.p50_ms if self.p50_ms else None

    @property
    def millijoules(self) -> float | None:
        """Of one image, where the device tells what it took, idling with it."""
        told = [(x.joules, x.runs) for x in self.launches if x.joules is not None and x.runs]
        return 1000 * sum(j for j, _ in told) / sum(n for _, n in told) if told else None


def _median(values: Iterable[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return statistics.median(told) if told else None


@dataclass(frozen=True)
class Bench:
    """Artifacts measured on one device, by the same rules, in turns."""

    device: DeviceFacts
    rules: BenchRules
    latencies: tuple[Latency, ...]
    seconds: float = 0.0
    made: str = ""


@dataclass(frozen=True)
class Benches:
    """The same artifacts on several devices, as a file holds them."""

    benches: tuple[Bench, ...]


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
class Profile:
    """A run of a program by operator, longest first: the median of the `whole` in milliseconds, over `runs` runs.

    `traced` says whether the operators within a delegate are told apart; else each of its calls is one.
    """

    whole: float
    runs: int
    operators: tuple[OperatorTime, ...]
    traced: bool


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
    """Everything the reader of a report sees; `report.json` is this record.

    The number in `schema` grows when a field goes or changes its meaning, not when one is added.
    """

    schema: Literal["edgevit-report/1"] = field(default="edgevit-report/1", kw_only=True)
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
    evaluation: EvalResult | None = None
    """The checkpoint on its held-out images."""
    evaluated: Gallery = field(default_factory=Gallery)
    """Pictures of the evaluation, or why there is none."""
    inside: Gallery = field(default_factory=Gallery)
    """Pictures of what the checkpoint sees."""
    devices: tuple[DeviceFacts, ...] = ()
    """Those that the latencies were measured on."""
    rules: BenchRules | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)
    """Those that artifacts keep, by the artifact's name."""
