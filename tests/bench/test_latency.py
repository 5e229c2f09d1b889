"""Latency is taken in turns, after the warm-up, and its percentiles are values that were measured."""

from __future__ import annotations

import numpy as np

from edgevit.bench.latency import interleaved, percentile
from edgevit.types import silent


class Recorder:
    where = "host"
    threads = 1

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.calls.append(self.name)
        return images


def test_runners_take_turns_and_warm_up_untimed() -> None:
    calls: list[str] = []
    image = np.zeros((1, 3, 4, 4), np.float32)
    times = interleaved({n: Recorder(n, calls) for n in "ab"}, {"a": image, "b": image}, runs=5, warmup=2, progress=silent)
    assert calls == ["a", "b"] * 7
    assert {name: len(t) for name, t in times.items()} == {"a": 5, "b": 5}
    assert all(t >= 0 for series in times.values() for t in series)


def test_nearest_rank() -> None:
    times = [float(x) for x in range(100, 0, -1)]
    assert [percentile(times, f) for f in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert percentile([7.0], 0.5) == 7.0
