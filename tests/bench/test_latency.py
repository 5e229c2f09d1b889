"""Latency is taken in turns, after the warm-up, and its percentiles are values that were measured."""

from __future__ import annotations

from edgevit.bench.latency import interleaved, percentile
from edgevit.types import silent


def test_runners_take_turns_and_warm_up_untimed() -> None:
    calls: list[str] = []
    runners = {name: lambda name=name: calls.append(name) for name in "ab"}
    times, broken = interleaved(runners, runs=5, warmup=2, progress=silent)
    assert calls == ["a", "b"] * 7 and not broken
    assert {name: len(t) for name, t in times.items()} == {"a": 5, "b": 5}
    assert all(t >= 0 for series in times.values() for t in series)


def test_one_that_breaks_is_left_out_and_the_others_go_on() -> None:
    calls: list[str] = []

    def breaks() -> None:
        calls.append("b")
        if calls.count("b") == 4:
            raise RuntimeError("out of memory")

    times, broken = interleaved({"a": lambda: calls.append("a"), "b": breaks}, runs=5, warmup=2, progress=silent)
    assert len(times["a"]) == 5 and calls.count("b") == 4 and str(broken["b"]) == "out of memory"


def test_nearest_rank() -> None:
    times = [float(x) for x in range(100, 0, -1)]
    assert [percentile(times, f) for f in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert percentile([7.0], 0.5) == 7.0


def test_primed_calls_each_once_untimed_before_every_timed_call() -> None:
    seen: list[str] = []
    calls = {name: lambda name=name: seen.append(name) for name in ("a", "b")}
    times, _ = interleaved(calls, 2, 1, silent, primed=0.0)
    assert seen == ["a", "a", "b", "b"] * 3 and [len(values) for values in times.values()] == [2, 2]
