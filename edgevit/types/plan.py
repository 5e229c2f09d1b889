"""What a plan is made of: models that nobody has trained, how long they take on a device, and which of them keep to a budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgevit.types.device import BenchRules, DeviceFacts
from edgevit.types.model import ViTConfig, require


@dataclass(frozen=True)
class Candidate:
    """A model by its shape alone, as a file of `recipe` for `target`."""

    shape: ViTConfig
    target: str
    recipe: str

    @property
    def name(self) -> str:
        height, width = self.shape.image_size
        size = str(height) if height == width else f"{height}x{width}"
        return f"{self.shape.variant} at {size}, {self.target} {self.recipe}"


@dataclass(frozen=True)
class Converted:
    """The file of a candidate with random weights, or why there is none. `seconds` are those of making it."""

    candidate: Candidate
    file: str = ""
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Measured:
    """A candidate on a device: the median of its launches' medians in milliseconds, the least and the greatest of them.

    Where it could not be measured `p50_ms` is None, and `reason` says why.
    """

    candidate: Candidate
    device: str
    p50_ms: float | None = None
    least_ms: float | None = None
    greatest_ms: float | None = None
    bytes: int = 0
    """Of its file."""
    launches: int = 0
    reason: str = ""


@dataclass(frozen=True)
class PlannedPoint:
    """A measured candidate beside what the cost model says of it. One that is `held_out` had no part in the fit.

    `predicted_ms` of a candidate of the fit is that of a model fitted to all others (leave one out).
    """

    measured: Measured
    predicted_ms: float
    held_out: bool

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what was measured."""
        assert self.measured.p50_ms
        return abs(self.predicted_ms / self.measured.p50_ms - 1)


@dataclass(frozen=True)
class CostModel:
    """Milliseconds (or, for `bytes`, bytes) of a candidate of one target and recipe: the sum of features by coefficients.

    `fitted` points; `loo_error` is the median error on each of them by a model of all others, `held_out_error` that on
    `held_out` points that no fit has seen, None where there are none. Of measured values 9 in 10 lay between `low` and `high`
    times what was predicted for them.
    """

    target: str
    recipe: str
    coefficients: dict[str, float]
    fitted: int
    loo_error: float
    low: float
    high: float
    held_out: int = 0
    held_out_error: float | None = None
    bytes: dict[str, float] = field(default_factory=dict)
    """The coefficients of the file's size."""


@dataclass(frozen=True)
class DevicePlan:
    """What was measured on one device, and the cost models that follow from it."""

    device: DeviceFacts
    models: tuple[CostModel, ...]
    points: tuple[PlannedPoint, ...]
    failed: tuple[Measured, ...] = ()
    held_out_error: float | None = None
    """The median over all held-out points, of every target and recipe; None where there are none."""
    spread: float = 0.0
    """By how much the launches of one file differ, as a share of the fastest: the median over all points."""


@dataclass(frozen=True)
class Estimate:
    """A candidate on a device. `low_ms` and `high_ms` are of its launches where it was measured; else 9 in 10 lie between."""

    device: str
    p50_ms: float
    low_ms: float
    high_ms: float
    measured: bool


@dataclass(frozen=True)
class Choice:
    """A candidate that keeps to the budget on every device; `sure` where the upper ends of the intervals keep to it as well."""

    candidate: Candidate
    multiply_adds: int
    parameters: int
    bytes: int
    estimates: tuple[Estimate, ...]
    sure: bool


@dataclass(frozen=True)
class PlanBudget:
    """What a model may take: milliseconds for one image, and bytes of its file. None: anything."""

    p50_ms: float | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        require(all(limit is None or limit > 0 for limit in (self.p50_ms, self.bytes)), "a budget must be positive")


@dataclass(frozen=True)
class Design:
    """How many candidates are measured: `measure` for the fit, spread over the grid, and `held_out` more, drawn from it."""

    measure: int = 40
    held_out: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """Latency before training. `choices` are in the expected order of accuracy, which `order` explains: no promise."""

    budget: PlanBudget
    design: Design
    rules: BenchRules
    candidates: int
    """Of the grid."""
    devices: tuple[DevicePlan, ...]
    choices: tuple[Choice, ...]
    order: str
    versions: dict[str, str]
    seconds: float = 0.0
    made: str = ""
