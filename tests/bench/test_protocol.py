"""How a bench goes, on a device that is made up: rounds, when it ends, what it says of noise, and what a fault leaves."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgevit.bench import protocol
from edgevit.errors import DeviceFault, DeviceLost
from edgevit.types import Asked, BenchRules, Conditions, DeviceFacts, Input, Launch, Model, Moment, Preprocess, Unit, silent

RULES = BenchRules(runs=60, launches=6, most_launches=12, narrow=0.02)
STEPS = Preprocess(resize=(8, 8), crop=(8, 8), interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def model(name: str) -> Model:
    return Model(name, Path(name), name, "litert", Input.TENSOR, STEPS)


class Made:
    """A device whose launches take what `times` says of a model and the number of its launch."""

    facts = DeviceFacts("made-up", "a device", cores=2)

    def __init__(self, times: Callable[[str, int], float], units: tuple[Unit, ...] = (Unit.CPU,)) -> None:
        self.times, self.offered = times, units
        self.log: list[str] = []
        self.asked: list[Asked] = []

    def units(self, model: Model) -> tuple[Unit, ...]:
        return self.offered

    def send(self, model: Model, progress: object) -> None:
        self.log.append(f"send {model.artifact}")

    def launch(self, model: Model, asked: Asked) -> Launch:
        number = sum(entry == model.artifact for entry in self.log)
        self.log.append(model.artifact)
        self.asked.append(asked)
        centre = self.times(model.artifact, number)
        now = Conditions(float(len(self.log)), busy=0.4)
        times = (centre,) * asked.runs
        return Launch(9.0, 5.0, 3.0, times, runs=asked.runs, warmup=asked.warmup, peak_bytes=number + 1, before=now, after=now)

    def sustain(self, model: Model, asked: Asked, seconds: float, progress: Callable[[Moment], None]) -> tuple[Moment, ...]:
        raise NotImplementedError

    def answers(self, model: Model, asked: Asked, pixels: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def close(self, keep: bool = False) -> None:
        raise NotImplementedError


def steady(name: str, number: int) -> float:
    return {"one": 1.0, "two": 2.0, "three": 3.0}[name] * (1 + 0.001 * number)


def test_every_round_launches_each_once_in_an_order_of_its_own() -> None:
    device = Made(steady)
    names = ["one", "two", "three"]
    protocol.measure(device, [model(name) for name in names], RULES, silent)
    launched = [entry for entry in device.log if not entry.startswith("send")]
    rounds = [launched[i : i + 3] for i in range(0, len(launched), 3)]
    assert len(rounds) == 6 and all(sorted(each) == sorted(names) for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
    assert {asked.runs for asked in device.asked} == {10}


def test_it_ends_when_the_interval_is_narrow_and_goes_on_where_it_is_not() -> None:
    draw = random.Random(0)
    device = Made(lambda name, number: draw.uniform(1, 2) if name == "two" else steady(name, number))
    quiet, loud = protocol.measure(device, [model("one"), model("two")], RULES, silent)
    assert (len(quiet.launches), len(loud.launches)) == (6, 12)
    assert protocol.noise(quiet, RULES) == ""
    said = protocol.noise(loud, RULES)
    assert "after 12 launches, not to 2 %" in said and "other programs took 40 % of the processor" in said


def test_the_limit_of_time_ends_it_after_the_least_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 50))
    monkeypatch.setattr(protocol.time, "monotonic", lambda: float(next(clock)))
    draw = random.Random(0)
    (run,) = protocol.measure(Made(lambda *_: draw.uniform(1, 2)), [model("one")], BenchRules(seconds=1.0), silent)
    assert len(run.launches) == BenchRules().launches


def test_figures_of_a_run() -> None:
    (run,) = protocol.measure(Made(steady), [model("one")], RULES, silent)
    found = protocol.summary(run, Made(steady), "device", "a phone", RULES)
    assert found.p50_ms == pytest.approx(1.0025) and (found.low_ms, found.high_ms) == (1.0, 1.005)
    assert found.p90_ms == pytest.approx(1.005) and found.runs == 60 and found.where == "device" and found.machine == "a phone"
    assert (found.cold_ms, found.warm_ms, found.first_ms, found.peak_bytes) == (9.0, 5.0, 3.0, 6)
    assert found.per_second == pytest.approx(1000 / 1.0025) and found.millijoules is None and not found.failed


def test_a_tool_that_tells_no_single_runs_gives_no_percentiles() -> None:
    run = protocol.Run(model("one"), Unit.CPU, [Launch(centre_ms=float(i), statistic="mean", runs=10) for i in range(1, 7)])
    found = protocol.summary(run, Made(steady), "device", "", RULES)
    assert (found.p50_ms, found.p90_ms, found.p99_ms, found.low_ms, found.high_ms) == (3.5, None, None, 1.0, 6.0)


def test_a_fault_ends_one_and_the_others_go_on() -> None:
    def times(name: str, number: int) -> float:
        if name == "two" and number == 2:
            raise DeviceFault("it broke")
        return steady(name, number)

    good, bad = protocol.measure(Made(times), [model("one"), model("two")], RULES, silent)
    assert len(good.launches) == 6 and not good.fault
    assert len(bad.launches) == 2 and bad.fault == "it broke"
    told = protocol.summary(bad, Made(times), "device", "", RULES)
    assert told.failed and told.reason == "it broke" and told.p50_ms is not None and told.low_ms is None
    assert "only 2 launches" in told.noise


def test_a_lost_device_keeps_what_was_measured() -> None:
    def times(name: str, number: int) -> float:
        if number == 4:
            raise DeviceLost("unplugged")
        return steady(name, number)

    runs = protocol.measure(Made(times), [model("one"), model("two")], RULES, silent)
    assert {run.fault for run in runs} == {"unplugged"} and all(len(run.launches) >= 4 for run in runs)


def test_one_that_was_never_launched_says_why() -> None:
    def times(name: str, number: int) -> float:
        raise DeviceFault("no such runtime")

    (run,) = protocol.measure(Made(times), [model("one")], RULES, silent)
    found = protocol.summary(run, Made(times), "device", "", RULES)
    assert (found.where, found.p50_ms, found.reason, found.failed) == ("none", None, "no such runtime", True)


def test_units_are_those_that_are_offered_and_asked_for() -> None:
    device = Made(steady, (Unit.CPU, Unit.GPU, Unit.NPU))
    assert [run.unit for run in protocol.measure(device, [model("one")], RULES, silent)] == [Unit.CPU, Unit.GPU, Unit.NPU]
    only = BenchRules(runs=60, units=(Unit.GPU, Unit.ALL))
    assert [run.unit for run in protocol.measure(device, [model("one")], only, silent)] == [Unit.GPU]
