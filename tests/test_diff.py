"""What got worse from one run to another, and what is no more than noise."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest

from edgevit import record
from edgevit.checks import noise
from edgevit.checks.statistics import mcnemar
from edgevit.errors import DamagedFile
from edgevit.pipeline import differing, running
from edgevit.types import (
    Artifact,
    Bench,
    BenchRules,
    Change,
    CheckResult,
    Delegation,
    DeviceFacts,
    Latency,
    Launch,
    Outcome,
    Paired,
    Replaced,
    Road,
    RunRecord,
    Verdict,
)

PI = DeviceFacts("ssh://pi", "pi 5", cores=4, runtimes={"ai-edge-litert": "2.3"})
MADE = Artifact(
    "tflite", "int8", Outcome.PASS, file="model.tflite", bytes=6_000_000, top1=0.80, reference_top1=0.82, agreement=0.96,
    images=1000, split="held-out", delegation=Delegation(1, 50, 0), paired=Paired(30, 10, 0.01, -0.03, -0.01, 0.01),
    data_sha256="images", checkpoint_sha256="weights",
)  # fmt: skip


def _launches(ms: float = 10.0, peak: int = 100_000_000, count: int = 6) -> tuple[Launch, ...]:
    """Each a little slower, and a little larger, than the one before."""
    return tuple(
        Launch(times_ms=tuple(ms * (1 + 0.004 * i + 0.0001 * j) for j in range(10)), runs=10, peak_bytes=peak + 1000 * i)
        for i in range(count)
    )


def _latency(ms: float = 10.0, **more: Any) -> Latency:
    given = {"low_ms": 0.99 * ms, "high_ms": 1.01 * ms, "launches": _launches(ms), "p90_ms": 1.1 * ms, "threads": 2}
    return Latency("out/tflite-int8", "host", ms, **{**given, **more})


def _run(made: Artifact = MADE, latency: Latency | None = None, facts: DeviceFacts = PI, **more: Any) -> RunRecord:
    bench = Bench(facts, BenchRules(), (latency or _latency(),))
    given = {"machine": "a", "versions": {"torch": "2.13"}, "sources": "s", **more}
    return RunRecord(Road(("tflite",), ("int8",)), "run", "weights", (made,), (bench,), (), (), "", 0.0, **given)


def _told(before: RunRecord, after: RunRecord) -> dict[str, Change]:
    return {change.figure: change for change in differing.diff(before, after).changes}


def test_a_run_beside_itself() -> None:
    found = differing.diff(_run(), _run())
    assert {change.verdict for change in found.changes} == {Verdict.SAME} and not found.worse
    assert [change.figure for change in found.changes] == [
        "size_mb", "outside", "top1", "agreement", "p50_ms", "p90_ms", "peak_mb",
    ]  # fmt: skip
    assert (found.added, found.removed, found.replaced) == ((), (), ())


@pytest.mark.parametrize(
    ("ms", "verdict"), [(10.15, Verdict.NOISE), (9.9, Verdict.NOISE), (10.3, Verdict.WORSE), (9.7, Verdict.BETTER)]
)
def test_latencies_are_told_apart_by_their_intervals(ms: float, verdict: Verdict) -> None:
    found = _told(_run(), _run(latency=_latency(ms)))
    assert found["p50_ms"].verdict is verdict and (found["p50_ms"].before, found["p50_ms"].after) == (10.0, ms)
    assert differing.diff(_run(), _run(latency=_latency(ms))).worse is (verdict is Verdict.WORSE)


def test_a_latency_without_an_interval_is_noise() -> None:
    found = _told(_run(), _run(latency=_latency(30, low_ms=None, high_ms=None, launches=_launches(30)[:5])))
    assert found["p50_ms"].verdict is Verdict.NOISE and found["p90_ms"].verdict is Verdict.NOISE
    assert "too few launches" in found["p90_ms"].how


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"facts": dataclasses.replace(PI, cores=8)}, "another device: cores 4 and 8"),
        ({"latency": _latency(30, threads=4)}, "other threads: 2 and 4"),
    ],
)
def test_what_was_measured_elsewhere_is_not_compared(changed: dict[str, Any], words: str) -> None:
    found = differing.diff(_run(), _run(**{"latency": _latency(30), **changed}))
    apart = [change for change in found.changes if change.verdict is Verdict.APART]
    assert {change.figure for change in apart} >= {"p50_ms", "p90_ms"} and {change.how for change in apart} == {words}
    assert not found.worse


def test_another_machine_is_another_local_and_the_same_pi() -> None:
    local = dataclasses.replace(PI, spec="local")
    slow = _latency(30)
    assert _told(_run(facts=local), _run(latency=slow, facts=local, machine="b"))["p50_ms"].verdict is Verdict.APART
    found = differing.diff(_run(), _run(latency=slow, machine="b"))
    assert found.worse and Replaced("machine", "a", "b") in found.replaced


def test_another_runtime_is_compared_and_said() -> None:
    newer = dataclasses.replace(PI, runtimes={"ai-edge-litert": "2.4"})
    found = differing.diff(_run(), _run(latency=_latency(30), facts=newer, versions={"torch": "2.14"}, sources="t"))
    assert found.worse
    assert set(found.replaced) == {
        Replaced("ssh://pi: ai-edge-litert", "2.3", "2.4"),
        Replaced("torch", "2.13", "2.14"),
        Replaced("edgevit's sources", "s", "t"),
    }


def test_memory_is_told_by_all_launches() -> None:
    larger = _latency(launches=_launches(peak=100_010_000))
    assert _told(_run(), _run(latency=larger))["peak_mb"].verdict is Verdict.WORSE
    meets = _latency(launches=_launches(peak=100_004_000))
    assert _told(_run(), _run(latency=meets))["peak_mb"].verdict is Verdict.NOISE
    few = _told(_run(latency=_latency(launches=_launches(count=3))), _run(latency=_latency(launches=larger.launches[:3])))
    assert few["peak_mb"].verdict is Verdict.NOISE and "too few to tell" in few["peak_mb"].how


def test_a_byte_more_is_more() -> None:
    found = _told(_run(), _run(dataclasses.replace(MADE, bytes=6_000_001, delegation=Delegation(1, 49, 1))))
    assert found["size_mb"].verdict is found["outside"].verdict is Verdict.WORSE
    assert _told(_run(), _run(dataclasses.replace(MADE, bytes=5)))["size_mb"].verdict is Verdict.BETTER


def _answered(lost: int, won: int, **more: Any) -> Artifact:
    paired = dataclasses.replace(MADE.paired, lost=lost, won=won) if MADE.paired else None
    return dataclasses.replace(MADE, top1=0.82 - (lost - won) / 1000, paired=paired, **more)


def test_answers_on_the_same_images_are_paired() -> None:
    """20 points of a thousand: alone they are noise to Fisher, and more than that where so few images parted."""
    worse = _told(_run(_answered(2, 2)), _run(_answered(22, 2)))["top1"]
    assert worse.verdict is Verdict.WORSE and "McNemar" in worse.how
    other = _told(_run(_answered(2, 2)), _run(_answered(22, 2, data_sha256="others")))["top1"]
    assert other.verdict is Verdict.NOISE and "Fisher" in other.how and "other images" in other.how
    assert _told(_run(_answered(22, 2)), _run(_answered(2, 2)))["top1"].verdict is Verdict.BETTER


def test_answers_that_may_part_on_more_images_are_not_told() -> None:
    found = _told(_run(_answered(100, 80)), _run(_answered(110, 80)))["top1"]
    assert found.verdict is Verdict.NOISE and "between" in found.how


def test_another_checkpoint_is_no_reference_to_pair_by() -> None:
    other = _answered(22, 2, checkpoint_sha256="other")
    assert "Fisher" in _told(_run(_answered(2, 2)), _run(other))["top1"].how


def test_the_answers_on_the_device_are_compared_too() -> None:
    def there(top1: float) -> Latency:
        return _latency(answers=CheckResult(Outcome.PASS, "", top1, 0.82, 0.9, 100))

    found = [c for c in differing.diff(_run(latency=there(0.8)), _run(latency=there(0.5))).changes if c.figure == "top1"]
    assert [(c.device, c.verdict) for c in found] == [("", Verdict.SAME), ("ssh://pi", Verdict.WORSE)]


def test_a_figure_that_is_gone_is_worse_and_one_that_is_new_is_none() -> None:
    gone = Latency("out/tflite-int8", "none", reason="connection refused")
    found = differing.diff(_run(), _run(latency=gone, facts=DeviceFacts("ssh://pi", reason="connection refused")))
    lost = [change for change in found.changes if change.verdict is Verdict.UNMEASURED]
    assert [change.figure for change in lost] == ["p50_ms", "p90_ms", "peak_mb"] and found.worse
    assert {change.how for change in lost} == {"connection refused"}
    assert not differing.diff(_run(latency=gone), _run()).worse


def test_what_no_longer_comes_out_is_worse() -> None:
    failed = Artifact("tflite", "int8", Outcome.CONVERT_FAILED, "out of memory")
    found = _told(_run(), _run(failed))
    assert found["outcome"].verdict is Verdict.WORSE and found["outcome"].how == "PASS, then CONVERT_FAILED"
    assert _told(_run(failed), _run())["outcome"].verdict is Verdict.BETTER
    over = dataclasses.replace(MADE, outcome=Outcome.OVER_BUDGET)
    assert "outcome" not in _told(_run(), _run(over)), "a limit may have changed; the figures say what did"


def test_what_is_new_and_what_is_gone_is_named_and_breaks_nothing() -> None:
    other = dataclasses.replace(MADE, recipe="fp32")
    found = differing.diff(_run(), _run(other, Latency("out/tflite-fp32", "host", 5.0)))
    assert (found.added, found.removed, found.changes, found.worse) == (("tflite-fp32",), ("tflite-int8",), (), False)
    elsewhere = differing.diff(_run(), _run(facts=dataclasses.replace(PI, spec="local")))
    assert elsewhere.added == ("tflite-int8 on local (cpu)",) and elsewhere.removed == ("tflite-int8 on ssh://pi (cpu)",)


# The tests themselves.


def test_the_bounds_of_the_paired_test_hold_all_ways_to_part() -> None:
    """Of every pair of models on random images, the p of those very answers lies between the two ends."""
    draw, seen = random.Random(0), set()
    for _ in range(300):
        n, shares = draw.randint(5, 60), (draw.random() / 3, draw.random() / 3)
        truth = [draw.random() < 0.8 for _ in range(n)]
        one, other = ([right ^ (draw.random() < share) for right in truth] for share in shares)
        told = noise.parted(_parted(truth, one), _parted(truth, other))
        p = mcnemar(*_parted(one, other))
        assert told.changed is None or told.changed is (p < 0.05), (truth, one, other, told)
        seen.add(told.changed)
    assert seen == {True, False, None}


def _parted(before: list[bool], after: list[bool]) -> tuple[int, int]:
    both = list(zip(before, after, strict=True))
    return both.count((True, False)), both.count((False, True))


@pytest.mark.parametrize("table", [(3, 1, 1, 3), (10, 2, 3, 15), (0, 5, 5, 0), (8, 0, 8, 0), (1, 9, 11, 3)])
def test_fisher_counts_the_tables(table: tuple[int, int, int, int]) -> None:
    """As the sum over all ways to draw, in whole numbers."""
    a, b, c, d = table
    row, column, n = a + b, a + c, a + b + c + d
    ways = {k: math.comb(row, k) * math.comb(n - row, column - k) for k in range(column + 1)}
    expected = sum(way for way in ways.values() if way <= ways[a]) / math.comb(n, column)
    assert noise.fisher(*table) == pytest.approx(expected, rel=1e-9)


def test_the_lady_tasting_tea() -> None:
    """Fisher 1935: 3 of 4 cups right; one-sided 17/70, and two-sided twice that."""
    assert noise.fisher(3, 1, 1, 3) == pytest.approx(34 / 70)


def test_launches_apart_by_chance_are_as_rare_as_said() -> None:
    """Of all ways to deal 8 values into two runs of 4, those in which all of one lie above the other."""
    deals = list(itertools.combinations(range(8), 4))
    apart = [d for d in deals if noise.spread(d, [x for x in range(8) if x not in d]).changed]
    assert len(apart) / len(deals) == pytest.approx(2 / 70)


# Records.


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record.write(tmp_path / running.RECORD, _run())
    assert running.read(tmp_path) == running.read(tmp_path / running.RECORD) == dataclasses.replace(_run(), folder=tmp_path)
    (tmp_path / running.RECORD).write_text("{}")
    with pytest.raises(DamagedFile, match=running.RECORD):
        running.read(tmp_path)
