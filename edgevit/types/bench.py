"""What was measured of artifacts on devices."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from edgevit.types.device import BenchRules, DeviceFacts, Launch, Moment, Unit
from edgevit.types.measure import CheckResult


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
