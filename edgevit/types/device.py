"""Devices that a model is measured on, and what a measurement is made of."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgevit.types.model import Preprocess
from edgevit.types.target import Input

if TYPE_CHECKING:
    import numpy as np


class Unit(enum.StrEnum):
    """What of a device computes. NPU is whatever the device offers by that name: NNAPI, the Neural Engine."""

    CPU = "cpu"
    GPU = "gpu"
    NPU = "npu"
    ALL = "all"
    """As the runtime chooses."""


@dataclass(frozen=True)
class DeviceFacts:
    """A device by the name that a command gives it (`local`, `ssh://pi@10.0.0.5`, `adb:SERIAL`), and what it said of itself.

    `runtimes` are the versions of what runs models there, by package or program. Where nothing can be measured on it, `reason`
    says why.
    """

    spec: str
    name: str = ""
    system: str = ""
    processor: str = ""
    """As `uname -m` says it, or the ABI."""
    cores: int | None = None
    memory: int | None = None
    """Bytes."""
    runtimes: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    hint: str = ""
    """What to do about the reason."""


@dataclass(frozen=True)
class Conditions:
    """How a device was, `seconds` after the bench began: mean clock of its cores, governor, its hottest sensor.

    `busy` is the share of all processor time since the last reading that other programs took; None where it does not say.
    """

    seconds: float
    mhz: float | None = None
    governor: str = ""
    celsius: float | None = None
    busy: float | None = None


@dataclass(frozen=True)
class Launch:
    """One process on the device: model loaded, first answer, warm-up, timed runs. Times are in milliseconds.

    `cold_ms` is the load with the file out of the page cache, where `dropped` says that it could be put out of it; `warm_ms` the
    same once more. Of a tool that tells no single runs `times_ms` is empty, and `centre_ms` is what it tells: its median or mean.
    `joules` are those of all timed runs together; `mapped` is how many bytes the process held before it loaded the model.
    """

    cold_ms: float | None = None
    warm_ms: float | None = None
    first_ms: float | None = None
    times_ms: tuple[float, ...] = ()
    centre_ms: float | None = None
    statistic: str = "median"
    runs: int = 0
    warmup: int = 0
    peak_bytes: int | None = None
    before_bytes: int | None = None
    joules: float | None = None
    threads: int | None = None
    dropped: bool = False
    before: Conditions | None = None
    after: Conditions | None = None
    elsewhere: str = ""
    """What did not run on the unit that was asked for, as the tool tells it; empty where nothing did or it does not tell."""


@dataclass(frozen=True)
class Moment:
    """One stretch of a sustained run: the median of its `runs`, and how the device was at its end."""

    runs: int
    p50_ms: float
    conditions: Conditions


@dataclass(frozen=True)
class Placed:
    """An operator of a model, the name of what it gives, and the unit that the runtime plans it for: planned, not traced.

    `cost` is the share of the whole work that the runtime estimates, 0 to 1; None where it does not say.
    """

    operator: str
    name: str
    unit: Unit
    cost: float | None = None


@dataclass(frozen=True)
class Model:
    """A model file to measure: what runs it (`litert`, `executorch`, `coreml`), and how images become what it takes."""

    artifact: str
    file: Path
    sha256: str
    runtime: str
    input: Input
    preprocess: Preprocess


@dataclass(frozen=True)
class Asked:
    """What one launch is asked for."""

    unit: Unit = Unit.CPU
    threads: int | None = None
    runs: int = 20
    warmup: int = 10
    affinity: tuple[int, ...] = ()
    """Cores that it may use; empty for all."""


class Device(Protocol):
    """A device that is connected. Errors of it are `DeviceFault`s, and what it was sent is removed by `close`."""

    facts: DeviceFacts

    def units(self, model: Model) -> tuple[Unit, ...]:
        """Those that can be asked for with that model."""
        ...

    def send(self, model: Model, progress: Callable[[str, float, float | None], None]) -> None:
        """Put the model there, unless it is."""
        ...

    def launch(self, model: Model, asked: Asked) -> Launch: ...

    def sustain(self, model: Model, asked: Asked, seconds: float, progress: Callable[[Moment], None]) -> tuple[Moment, ...]: ...

    def answers(self, model: Model, asked: Asked, pixels: np.ndarray) -> np.ndarray:
        """Of pixels (N, H, W, 3) uint8, resized as training did: what the file gives (N, classes) float32."""
        ...

    def close(self, keep: bool = False) -> None: ...


@dataclass(frozen=True)
class BenchRules:
    """How a bench goes: launches of every artifact in turn, until the interval of each median is narrow or a limit is reached.

    `runs` timed runs at the least, spread over at least LEAST launches; `narrow` is the half width of the interval as a share of
    the median. `images` of the validation set are answered on the device; `sustained` are seconds.
    """

    runs: int = 100
    warmup: int = 10
    launches: int = 6
    most_launches: int = 20
    narrow: float = 0.02
    seconds: float = 600.0
    threads: int | None = None
    affinity: tuple[int, ...] = ()
    images: int = 100
    sustained: float = 0.0
    seed: int = 0
    units: tuple[Unit, ...] = ()
    """Empty: all that the device offers for each model."""
