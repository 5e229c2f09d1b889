"""What is recommended: the fastest whose answers are right, by what can be told, and never by an evaluator's figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgevit.report import ship
from edgevit.types import CheckResult, DeviceFacts, Latency, Outcome, Report, Unit

Timed = Callable[..., Latency]


def only(report: Report, *latencies: Latency) -> ship.Answer:
    """The answer for the one phone that all `latencies` are of."""
    (found,) = ship.build(replace(report, latencies=latencies, devices=()))
    return found


def test_one_answer_for_each_device_in_their_order(benched: Report) -> None:
    host, phone, board = ship.build(benched)
    assert (host.place, phone.place, board.place) == ("This machine (host)", "Some phone 9 (device)", "A board (device)")
    assert host.headline == "Ship executorch-int8 (CPU, 4 threads): p90 4.22 ms, top-1 97.0 % checked on the host, 0.43 MB"
    assert phone.headline == "Ship litert-int8 (GPU): p90 6.21 ms, top-1 97.0 % checked on the host, 0.45 MB"
    assert not board.found
    assert board.headline == "Nothing to ship: not measured: it did not answer (is it switched on?)"


def test_the_lowest_median_wins_and_says_what_it_is_worth(benched: Report) -> None:
    phone = ship.build(benched)[1]
    assert phone.reasons == (
        "p50 6.08 ms (95 % interval 5.97 ms to 6.18 ms), the lowest of 4 whose answers are right",
        "p90 6.21 ms",
        "top-1 97.0 % of 1,000 images, checked on the host, \N{MINUS SIGN}0.20 points against the checkpoint "
        "(95 % interval \N{MINUS SIGN}0.89 points to +0.49 points)",
        "size 0.45 MB",
        "100 images answered on the device, 99.0 % of them as the checkpoint does",
    )


def test_why_not_the_others(benched: Report) -> None:
    phone = ship.build(benched)[1]
    assert phone.others == (
        "litert-int4: WRONG_ANSWERS, top-1 fell by 8.20 points; p50 4.09 ms (95 % interval 4.02 ms to 4.14 ms)",
        "executorch-int8 on CPU: slower, p50 9.21 ms (95 % interval 8.94 ms to 9.31 ms), 1.51 times as long",
        "litert-int8 on CPU: slower, p50 12.0 ms (95 % interval 11.9 ms to 12.1 ms), 1.97 times as long",
        "executorch-fp32: slower, p50 20.4 ms (95 % interval 20.0 ms to 20.6 ms), 3.35 times as long",
        "executorch-int8 on GPU: not measured: the file has no GPU delegate",
        "coreml-int8: not measured: Core ML does not run on Android",
    )


def test_of_those_that_cannot_be_told_apart_the_smallest(benched: Report) -> None:
    """litert-int8 has the lower median, and the larger file."""
    host = ship.build(benched)[0]
    assert host.reasons[0].endswith(
        "litert-int8 cannot be told from it, since the intervals meet, and of these it is the smallest file"
    )
    assert host.others[0] == (
        "litert-int8: cannot be told from it in time, p50 4.07 ms (95 % interval 4.01 ms to 4.12 ms); "
        "its file is larger, 0.45 MB against 0.43 MB"
    )


def test_of_equal_files_the_most_accurate(report: Report, timed: Timed) -> None:
    first, second = (replace(a, bytes=431_000) for a in report.artifacts[1:3])
    better = replace(report, artifacts=(first, replace(second, top1=0.98)))
    found = only(better, timed("executorch-int8", 4.0), timed("litert-int8", 4.02))
    assert found.headline.startswith("Ship litert-int8")
    assert found.reasons[0].endswith("of these it is the most accurate of the smallest files")
    assert found.others[0].endswith("its file is as large, and top-1 lower: 97.0 % against 98.0 %")


def test_a_chain_of_intervals_does_not_lead_to_a_slower_one(report: Report, timed: Timed) -> None:
    """fp32's interval meets that of int8, which is wide, and not litert's: that one is told to be faster than fp32."""
    wide = replace(timed("executorch-int8", 4.5), low_ms=3.9, high_ms=6.0, p50_ms=4.3)
    fast = replace(timed("litert-int8", 4.0), low_ms=3.9, high_ms=4.1, p50_ms=4.0)
    slow = replace(timed("executorch-fp32", 5.5), low_ms=5.0, high_ms=5.8, p50_ms=5.5)
    small = tuple(replace(a, bytes=1000) if a.name == "executorch-fp32" else a for a in report.artifacts)
    assert only(replace(report, artifacts=small), wide, fast, slow).headline.startswith("Ship executorch-int8")


def test_one_without_an_interval_is_not_preferred_for_its_size(report: Report, timed: Timed) -> None:
    small = tuple(replace(a, bytes=1000) if a.name == "litert-int8" else a for a in report.artifacts)
    alone = timed("litert-int8", 100.0, launches=1)
    found = only(replace(report, artifacts=small), timed("executorch-int8", 4.0), alone)
    assert found.headline.startswith("Ship executorch-int8")
    assert "as the medians say; without intervals litert-int8 cannot be told from it" in found.reasons[0]
    assert "without intervals the two cannot be told apart, and its median is higher" in found.others[0]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.PASS])
def test_only_what_passed_is_shipped(report: Report, timed: Timed, outcome: Outcome) -> None:
    failed = replace(report.artifacts[1], outcome=outcome, reason="so it is")
    found = only(replace(report, artifacts=(failed,)), timed("executorch-int8", 4.0))
    assert not found.found and found.headline == "Nothing to ship: every artifact has something against it"
    assert found.others == (f"executorch-int8: {outcome.value}, so it is",)


def test_what_is_said_of_several_is_said_once(report: Report, timed: Timed) -> None:
    gone = [Latency(name, "none", device="adb:R5CT", reason="no such file") for name in ("executorch-fp32", "litert-int8")]
    found = only(report, timed("executorch-int8", 4.0), *gone)
    assert "executorch-fp32 and litert-int8: not measured: no such file" in found.others


def test_wrong_answers_on_the_device_are_not_shipped_there(report: Report, timed: Timed) -> None:
    wrong = CheckResult(Outcome.WRONG_ANSWERS, "9 of 100 differ", 0.5, 0.97, 0.5, 100, where="device")
    found = only(report, timed("executorch-int8", 4.0, answers=wrong), timed("executorch-fp32", 8.0))
    assert found.headline.startswith("Ship executorch-fp32")
    assert found.others[0].startswith("executorch-int8: its answers there: WRONG_ANSWERS, 9 of 100 differ; p50 4.09 ms")


def test_an_evaluators_answers_recommend_nothing(report: Report, timed: Timed) -> None:
    found = only(replace(report, artifacts=report.artifacts[4:5]), timed("coreml-int8", 2.0))
    assert not found.found
    assert found.others == ("coreml-int8: its answers are the reference evaluator's, and none were asked there",)


def test_answers_of_the_device_stand_for_an_evaluators(report: Report, timed: Timed) -> None:
    right = CheckResult(Outcome.PASS, "", 0.96, 0.97, 0.99, 100, where="device")
    found = only(replace(report, artifacts=report.artifacts[4:5]), timed("coreml-int8", 2.0, answers=right))
    assert "top-1 96.0 % answered on the device" in found.headline
    assert "97.0 %" not in found.headline + found.reasons[2], "the evaluator's figure is not the device's"


def test_an_evaluators_time_recommends_nothing(report: Report, timed: Timed) -> None:
    evaluated = timed("executorch-int8", 1.0, where="reference", device="local")
    (found,) = ship.build(replace(report, latencies=(evaluated,)))
    assert found == ship.Answer("", False, "Nothing can be recommended: no latency was measured", (), ())


def test_an_artifact_of_another_checkpoint_or_of_two_is_not_shipped(report: Report, timed: Timed) -> None:
    stranger = replace(report.artifacts[1], checkpoint_sha256="0" * 64)
    found = only(replace(report, artifacts=(stranger,)), timed("executorch-int8", 4.0))
    assert found.others == ("executorch-int8: it was made from another checkpoint",)
    twins = replace(report, artifacts=(report.artifacts[1],) * 2)
    assert only(twins, timed("executorch-int8", 4.0)).others[0] == "executorch-int8: more than one artifact has this name"


def test_what_did_not_run_on_the_unit_and_noise_are_said(report: Report, timed: Timed) -> None:
    found = timed("executorch-int8", 4.0, unit=Unit.NPU, noise="other programs took 40 %")
    told = tuple(replace(launch, elsewhere="2 of 310 nodes ran on the CPU") for launch in found.launches)
    reasons = only(report, replace(found, launches=told)).reasons
    assert reasons[-2:] == (
        "not all of it ran on the unit that was asked for: 2 of 310 nodes ran on the CPU",
        "its interval is not narrow: other programs took 40 %",
    )


def test_what_a_device_tells_cannot_hide(report: Report, timed: Timed) -> None:
    named = replace(report, devices=(DeviceFacts("adb:1", "a\u202ephone\x1b[2J"),), latencies=())
    (found,) = ship.build(named)
    assert found.place == "a\ufffdphone\ufffd[2J (device)" and not found.found


def test_without_latencies_nothing_is_recommended(report: Report) -> None:
    (found,) = ship.build(replace(report, latencies=()))
    assert not found.found and found.headline == "Nothing can be recommended: no latency was measured"
