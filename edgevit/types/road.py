"""The whole road as a file says it (`edgevit.toml`), and a run of it: what was made, measured, reused, and which limits held."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgevit.types.bench import Bench
from edgevit.types.deploy import Artifact, Outcome
from edgevit.types.device import BenchRules
from edgevit.types.train import TrainConfig


@dataclass(frozen=True)
class Limits:
    """What figures may be at the most, `agreement` at the least; None where nobody said.

    `size_mb` and `peak_mb` are millions of bytes, `drop` is in points of top-1 below the checkpoint's, `agreement` a share of 1,
    `outside` counts nodes outside the delegate besides its own call, `energy_mj` is for one image.
    """

    p50_ms: float | None = None
    p90_ms: float | None = None
    size_mb: float | None = None
    drop: float | None = None
    agreement: float | None = None
    peak_mb: float | None = None
    outside: int | None = None
    energy_mj: float | None = None

    def under(self, other: Limits) -> Limits:
        """These, where `other` says nothing."""
        return Limits(**{name: mine if (said := getattr(other, name)) is None else said for name, mine in vars(self).items()})


@dataclass(frozen=True)
class Budgets:
    """Limits for all artifacts, and those of single ones by name, which go before them."""

    common: Limits = Limits()
    artifacts: dict[str, Limits] = field(default_factory=dict)

    def of(self, artifact: str) -> Limits:
        return self.common.under(self.artifacts.get(artifact, Limits()))


@dataclass(frozen=True)
class RoadDevice:
    """A device to measure on, how, and its own limits, which go before those of the road.

    With `allow_unmeasured` a limit of a figure that could not be measured there is not broken.
    """

    name: str
    rules: BenchRules = field(default_factory=BenchRules)
    limits: Budgets = Budgets()
    allow_unmeasured: bool = False


@dataclass(frozen=True)
class ImportChoice:
    """Weights of others to begin from, and what the options of `edgevit import` say of them, as text."""

    source: str
    mean: str | None = None
    std: str | None = None
    resize: str | None = None
    interpolation: str | None = None
    labels: str | None = None
    image_size: str | None = None
    model: str | None = None
    heads: int | None = None
    positions: str | None = None
    headless: bool = False


@dataclass(frozen=True)
class Road:
    """From a checkpoint, or its making, to artifacts that are measured on devices and held to limits.

    One of `checkpoint`, `train` and `imported` is not None. Paths are as they lead there from the working directory; `file` is
    where all of this was read.
    """

    targets: tuple[str, ...]
    recipes: tuple[str, ...]
    checkpoint: Path | None = None
    train: TrainConfig | None = None
    imported: ImportChoice | None = None
    title: str = "edgevit run"
    keep_patches: tuple[float, ...] = (1.0,)
    input: tuple[str, ...] = ("tensor",)
    runtimes: tuple[str, ...] = ()
    """Those in which an artifact must be right too."""
    data: str | None = None
    split: str = "auto"
    on_bad_image: str = "refuse"
    calibrate: str | None = None
    calibration_images: int = 256
    devices: tuple[RoadDevice, ...] = ()
    limits: Budgets = Budgets()
    allow_unmeasured: bool = False
    """Whether artifacts that nothing here makes or runs are let go, and limits of what a target cannot tell of a file."""
    file: Path = Path()


@dataclass(frozen=True)
class Held:
    """One limit beside its figure. `holds` is None where it was not measured, and that is allowed; `reason` says why it was not.

    `device` is empty for what is true of an artifact anywhere. Figures are in the unit of the limit: ms, MB, points, mJ, shares.
    """

    artifact: str
    device: str
    unit: str
    figure: str
    limit: float
    value: float | None
    holds: bool | None
    reason: str = ""


@dataclass(frozen=True)
class Reused:
    """Work that was not done again, since nothing that it depends on has changed, and when it was done."""

    what: str
    made: str


@dataclass(frozen=True)
class RunRecord:
    """What one run came to; `run.json` is this record.

    `artifacts` are as their limits leave them: OVER_BUDGET where they passed and broke one. `sources` is the sha256 of edgevit's
    own files.
    """

    road: Road
    checkpoint: str
    checkpoint_sha256: str
    artifacts: tuple[Artifact, ...]
    benches: tuple[Bench, ...]
    held: tuple[Held, ...]
    reused: tuple[Reused, ...]
    made: str
    seconds: float
    machine: str
    versions: dict[str, str]
    sources: str
    command: str = ""
    folder: Path = Path()

    @property
    def broken(self) -> tuple[Held, ...]:
        return tuple(one for one in self.held if one.holds is False)

    @property
    def failed(self) -> tuple[Artifact, ...]:
        """Artifacts that did not come out, whatever the limits say."""
        let_go = {Outcome.PASS, Outcome.OVER_BUDGET}
        if self.road.allow_unmeasured:
            let_go |= {Outcome.UNCHECKED, Outcome.SKIPPED}
        return tuple(one for one in self.artifacts if one.outcome not in let_go)

    @property
    def passed(self) -> bool:
        return not self.broken and not self.failed
