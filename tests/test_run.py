"""A road is gone whole, again only where something changed, and held to its limits."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgevit import held
from edgevit.cache import Cache
from edgevit.errors import BadInput, DeviceFault
from edgevit.pipeline import limits, measured, running
from edgevit.pipeline.contents import Contents
from edgevit.pipeline.how import How
from edgevit.types import (
    Artifact,
    Bench,
    BenchRules,
    Budgets,
    CheckResult,
    Delegation,
    DeviceFacts,
    Held,
    Latency,
    Launch,
    Limits,
    Outcome,
    Road,
    RoadDevice,
    RunRecord,
    Unit,
    silent,
)

FP32 = Artifact(
    "tflite", "fp32", Outcome.PASS, file="model.tflite", bytes=8_000_000, sha256="aa", top1=0.80, reference_top1=0.82,
    agreement=0.97, images=100, delegation=Delegation(1, 50, 0), folder=Path("out/tflite-fp32"), identity="i",
)  # fmt: skip
INT8 = dataclasses.replace(FP32, target="executorch", recipe="int8", folder=Path("out/executorch-int8"), sha256="bb")
LAUNCHES = tuple(Launch(times_ms=(31.0, 31.2), runs=2, peak_bytes=90_000_000, joules=0.1) for _ in range(6))


def _latency(artifact: Artifact, device: str = "local", **more: Any) -> Latency:
    given = {"p50_ms": 30.0, "p90_ms": 31.2, "runs": 12, "launches": LAUNCHES, "device": device, **more}
    return Latency(str(artifact.folder), "host", **given)


# Limits.


def _road(limit: Limits, device: RoadDevice | None = None, allow: bool = False, **of: Limits) -> Road:
    budgets = Budgets(limit, {name.replace("_", "-"): one for name, one in of.items()})
    return Road(("tflite",), ("fp32",), devices=(device,) if device else (), limits=budgets, allow_unmeasured=allow)


def _held(road: Road, *latencies: Latency, made: Artifact = FP32, reason: str = "") -> tuple[Held, ...]:
    benches = [Bench(DeviceFacts(d.name, reason=reason), d.rules, latencies) for d in road.devices]
    return limits.held(road, [made], benches)


LOCAL, PI = RoadDevice("local"), RoadDevice("ssh://pi")


@pytest.mark.parametrize(
    ("name", "holds", "broken", "words"),
    [
        ("size_mb", 8, 7.9, "tflite-fp32: size 8 MB, limit 7.9"),
        ("drop", 2, 1.9, "tflite-fp32: drop 2 points, limit 1.9"),
        ("agreement", 0.97, 0.971, "tflite-fp32: agreement 0.97, limit 0.971"),
        ("p50_ms", 30, 29.9, "tflite-fp32 on ssh://pi: p50 30 ms, limit 29.9"),
        ("p90_ms", 31.2, 30, "tflite-fp32 on ssh://pi: p90 31.2 ms, limit 30"),
        ("peak_mb", 90, 89, "tflite-fp32 on ssh://pi: peak memory 90 MB, limit 89"),
        ("energy_mj", 50, 49, "tflite-fp32 on ssh://pi: energy 50 mJ, limit 49"),
    ],
)
def test_a_figure_may_equal_its_limit_and_no_more(name: str, holds: float, broken: float, words: str) -> None:
    (one,) = _held(_road(Limits(**{name: holds}), PI), _latency(FP32))
    assert one.holds is True
    (one,) = _held(_road(Limits(**{name: broken}), PI), _latency(FP32))
    assert one.holds is False and held.words(one) == words


def test_the_call_of_the_delegate_is_not_outside_it() -> None:
    made = dataclasses.replace(INT8, delegation=Delegation(1, 50, 1))
    assert [one.holds for one in _held(_road(Limits(outside=0)), made=made)] == [True]
    made = dataclasses.replace(INT8, delegation=Delegation(2, 50, 2))
    (one,) = _held(_road(Limits(outside=0)), made=made)
    assert held.words(one) == "executorch-int8: outside 1 nodes, limit 0"


def test_a_limit_close_to_its_figure_shows_the_difference() -> None:
    (one,) = _held(_road(Limits(p90_ms=30), PI), _latency(FP32, p90_ms=30.0004))
    assert one.holds is False and held.words(one).endswith("p90 30.0004 ms, limit 30")


def test_what_was_not_measured_is_broken_unless_that_is_allowed() -> None:
    gone = Latency(str(FP32.folder), "none", reason="connection refused", device="ssh://pi")
    (one,) = _held(_road(Limits(p90_ms=30), PI), gone)
    assert one.holds is False
    assert held.words(one) == "tflite-fp32 on ssh://pi: p90 not measured: connection refused, limit 30"
    allowing = dataclasses.replace(PI, allow_unmeasured=True)
    assert [one.holds for one in _held(_road(Limits(p90_ms=30), allowing), gone)] == [None]
    assert [one.holds for one in _held(_road(Limits(p90_ms=30), allowing), _latency(FP32))] == [False], "measured, and too long"
    assert [one.holds for one in _held(_road(Limits(p90_ms=30), PI))] == [False], "the bench says nothing of it"


def test_a_device_that_cannot_be_reached_says_so_of_each_artifact() -> None:
    (one,) = _held(_road(Limits(p90_ms=30), PI), reason="no route to host")
    assert one.holds is False and one.reason == "no route to host"


def test_what_nobody_can_tell_of_a_file() -> None:
    unchecked = Artifact("executorch-vulkan", "fp32", Outcome.UNCHECKED, "built without Vulkan", file="x", bytes=5)
    asked = Limits(drop=1, size_mb=1)
    size, drop = _held(_road(asked), made=unchecked)
    assert size.holds is True and drop.holds is False and "not measured: built without Vulkan" in held.words(drop)
    assert [one.holds for one in _held(_road(asked, allow=True), made=unchecked)] == [True, None]


def test_every_unit_is_held_to_it() -> None:
    found = _held(_road(Limits(p90_ms=30), PI), _latency(FP32, p90_ms=29.0), _latency(FP32, unit=Unit.GPU))
    assert [one.holds for one in found] == [True, False]
    assert held.words(found[1]) == "tflite-fp32 on ssh://pi (gpu): p90 31.2 ms, limit 30"


def test_the_answers_on_a_device_are_held_to_the_devices_own_limit() -> None:
    device = dataclasses.replace(PI, limits=Budgets(Limits(drop=3)))
    answers = CheckResult(Outcome.PASS, "", top1=0.78, reference_top1=0.82, images=50)
    file, there = _held(_road(Limits(drop=5), device), _latency(FP32, answers=answers))
    assert (file.device, file.holds) == ("", True) and (there.device, there.holds) == ("ssh://pi", False)
    assert there.value == pytest.approx(4)
    *_, there = _held(_road(Limits(drop=5), device), _latency(FP32, unanswered="no disk"))
    assert there.holds is False and there.reason == "no disk"


def test_an_infinite_limit_is_none_and_one_of_an_artifact_is_its_alone() -> None:
    assert _held(_road(Limits(size_mb=float("inf")))) == ()
    road = _road(Limits(size_mb=1), tflite_fp32=Limits(size_mb=9))
    assert [one.holds for one in _held(road)] == [True] and [one.holds for one in _held(road, made=INT8)] == [False]


def test_who_breaks_a_limit_is_over_budget_and_who_failed_before_stays_so() -> None:
    found = _held(_road(Limits(size_mb=1, drop=1)))
    shown = limits.viewed(FP32, found)
    assert shown.outcome is Outcome.OVER_BUDGET and shown.reason == "size 8 MB, limit 1; drop 2 points, limit 1"
    assert limits.viewed(INT8, found) == INT8
    wrong = dataclasses.replace(FP32, outcome=Outcome.WRONG_ANSWERS)
    assert limits.viewed(wrong, found) == wrong


@pytest.mark.parametrize(
    ("outcome", "allow", "passed"),
    [
        (Outcome.PASS, False, True), (Outcome.UNCHECKED, False, False), (Outcome.UNCHECKED, True, True),
        (Outcome.SKIPPED, True, True), (Outcome.WRONG_ANSWERS, True, False), (Outcome.CONVERT_FAILED, True, False),
    ],
)  # fmt: skip
def test_what_did_not_come_out_fails_a_run(outcome: Outcome, allow: bool, passed: bool) -> None:
    made = (dataclasses.replace(FP32, outcome=outcome),)
    found = RunRecord(_road(Limits(), allow=allow), "", "", made, (), (), (), "", 0, "", {}, "")
    assert found.passed is passed


# Devices.


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    (tmp_path / "stages").mkdir()
    return Cache(tmp_path / "stages", 10_000_000, pytest.fail)


@pytest.fixture
def benching(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of the room that measures: what it was asked to, in `asked`; its `known` facts and its `fault` may be changed."""
    room = SimpleNamespace(asked=[], known={"name": "pi 5", "runtimes": {"ai-edge-litert": "2.3"}}, fault=None, broken=(), ms=5.0)

    def bench(folders: list[Path], device: str, rules: BenchRules, checkpoint: Path | None, progress: Any) -> Bench:
        room.asked.append((device, [folder.name for folder in folders]))
        if room.fault:
            raise room.fault
        fine, broke = Latency("", "host", room.ms, 11.0, 12.0), Latency("", "none", reason="no", failed=True)
        found = [dataclasses.replace(broke if f.name in room.broken else fine, artifact=str(f)) for f in folders]
        return Bench(DeviceFacts(device, **room.known), rules, tuple(found), made="2026-01-01T00:00:00+00:00")

    room.bench, room.facts = bench, lambda device: DeviceFacts(device, **room.known)
    monkeypatch.setattr(measured, "benching", room)
    return room


Measure = Callable[..., tuple[Bench, list[Any]]]


@pytest.fixture
def measure(cache: Cache, benching: SimpleNamespace) -> Measure:
    def run(*made: Artifact, device: RoadDevice = PI, anew: bool = False) -> tuple[Bench, list[Any]]:
        benching.asked.clear()
        return measured.measured(list(made or (FP32, INT8)), device, Path("checkpoint"), cache, anew, silent)

    return run


def test_the_second_time_nothing_is_measured(measure: Measure, benching: SimpleNamespace) -> None:
    first, reused = measure()
    assert benching.asked == [("ssh://pi", ["tflite-fp32", "executorch-int8"])] and reused == []
    second, reused = measure()
    assert benching.asked == [] and second == first
    assert [(one.what, one.made[:10]) for one in reused] == [
        ("tflite-fp32 on ssh://pi", "2026-01-01"), ("executorch-int8 on ssh://pi", "2026-01-01"),
    ]  # fmt: skip


def test_one_that_changed_is_measured_alone(measure: Measure, benching: SimpleNamespace) -> None:
    measure()
    found, reused = measure(FP32, dataclasses.replace(INT8, sha256="cc"))
    assert benching.asked == [("ssh://pi", ["executorch-int8"])] and [one.what for one in reused] == ["tflite-fp32 on ssh://pi"]
    assert [Path(x.artifact).name for x in found.latencies] == ["tflite-fp32", "executorch-int8"]


def test_an_artifact_that_lies_elsewhere_is_the_same(measure: Measure, benching: SimpleNamespace) -> None:
    measure()
    found, _ = measure(dataclasses.replace(FP32, folder=Path("moved/tflite-fp32")))
    assert benching.asked == [] and found.latencies[0].artifact == "moved/tflite-fp32"


@pytest.mark.parametrize("what", ["rules", "facts", "runtimes", "anew", "sources", "device"])
def test_what_makes_all_be_measured_anew(
    what: str, measure: Measure, benching: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure()
    device = PI
    if what == "rules":
        device = dataclasses.replace(PI, rules=BenchRules(threads=2))
    elif what == "facts":
        benching.known["memory"] = 8
    elif what == "runtimes":
        benching.known["runtimes"] = {"ai-edge-litert": "2.4"}
    elif what == "sources":
        monkeypatch.setattr(measured, "sources", lambda: "others")
    elif what == "device":
        device = dataclasses.replace(PI, name="ssh://other")
    measure(device=device, anew=what == "anew")
    assert [len(names) for _, names in benching.asked] == [2]


def test_what_is_measured_anew_counts_from_then_on(measure: Measure, benching: SimpleNamespace) -> None:
    measure()
    benching.ms = 9.0
    assert [measure(anew=anew)[0].latencies[0].p50_ms for anew in (False, True, False)] == [5.0, 9.0, 9.0]


def test_what_broke_is_measured_again(measure: Measure, benching: SimpleNamespace) -> None:
    benching.broken = ("tflite-fp32",)
    measure()
    benching.broken = ()
    found, _ = measure()
    assert benching.asked == [("ssh://pi", ["tflite-fp32"])] and found.latencies[0].p50_ms == 5


def test_a_device_that_is_gone_is_no_end_and_nothing_of_it_is_kept(measure: Measure, benching: SimpleNamespace) -> None:
    benching.fault = DeviceFault("connection refused", "is it on?")
    found, reused = measure()
    assert found.device.reason == "connection refused" and {x.reason for x in found.latencies} == {"connection refused"}
    benching.fault = None
    found, reused = measure()
    assert len(benching.asked) == 1 and reused == [] and found.latencies[0].p50_ms == 5
    benching.facts = lambda device: DeviceFacts(device, reason="no route to host")
    found, reused = measure()
    assert benching.asked == reused == [] and {x.reason for x in found.latencies} == {"no route to host"}


def test_what_has_no_file_is_not_measured(measure: Measure, benching: SimpleNamespace) -> None:
    found, _ = measure(Artifact("tflite", "fp32", Outcome.CONVERT_FAILED))
    assert benching.asked == [] and found.latencies == ()


def test_misuse_of_a_device_is_no_fault_of_it(measure: Measure, benching: SimpleNamespace) -> None:
    benching.fault = BadInput("no such user")
    with pytest.raises(BadInput, match="no such user"):
        measure()


# Files.


def test_a_file_that_was_changed_has_another_hash(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgevit.pipeline.contents.SETTLED", -1)
    contents, folder = Contents(cache), tmp_path / "photos"
    (folder / "red").mkdir(parents=True)
    (folder / "red" / "1.png").write_bytes(b"one")
    first = contents.of(folder)
    assert contents.of(folder) == first == Contents(None).of(folder)
    monkeypatch.setattr("edgevit.pipeline.contents._hash", lambda *_: pytest.fail("hashed again"))
    assert contents.of(folder) == first
    monkeypatch.undo()
    (folder / "red" / "1.png").write_bytes(b"two")
    assert contents.of(folder) != first
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert contents.of(moved) == contents.of(folder), "the same files elsewhere are the same"


def test_what_was_just_written_is_hashed_each_time(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    Contents(cache).of(tmp_path / "a")
    assert list(cache.stages.iterdir()) == []


def test_a_table_is_its_images_too(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    table = tmp_path / "images.csv"
    table.write_text("file,label\na.png,0\n" + "x" * 300 + ".png,1\n")
    before = Contents(cache).images(str(table))
    (tmp_path / "a.png").write_bytes(b"two")
    assert Contents(cache).images(str(table)) != before
    (tmp_path / "other.png").write_bytes(b"three")
    again = Contents(cache).images(str(table))
    (tmp_path / "classes.csv").write_text("0,red\n")
    assert Contents(cache).images(str(table)) != again


def test_images_of_the_hub_are_never_known(cache: Cache) -> None:
    assert Contents(cache).images("hf:user/name") == "" and Contents(cache).images("digits")


def test_a_report_is_not_drawn_again_for_a_bench_that_took_no_time(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second run takes the first one's latencies, and so measures for no seconds: nothing in the report says how many."""
    drawn = []

    def report(made: list[Artifact], benches: list[Bench], out: Path, *_: object) -> None:
        drawn.append([bench.seconds for bench in benches])
        (out / "report.html").write_text("drawn")

    monkeypatch.setattr(running, "report", report)
    road, how = _road(Limits(), PI), How("edgevit run", cache, silent, pytest.fail)
    for number, (ms, seconds) in enumerate([(10.0, 51.5), (10.0, 0.0), (11.0, 0.0)]):
        into = tmp_path / str(number)
        into.mkdir()
        bench = Bench(DeviceFacts("ssh://pi"), PI.rules, (_latency(FP32, p50_ms=ms),), seconds=seconds)
        again = running._report(road, (FP32,), [bench], (), into, how)
        assert (into / "report.html").read_text() == "drawn" and len(again) == (number == 1)
    assert drawn == [[51.5], [0.0]]


# The whole road, without a device: in processes of its own, to the target `null`.

NOTHING = "torch:import:1:abort;edgevit.stage:run:1:abort"
"""Whoever starts a stage, or imports torch, ends there."""


@pytest.fixture
def go(run_cli: Any, sabotage: Any, checkpoint: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(*more: object, limits: str = "", mishap: str = "", top: str = "", code: int = 0) -> Any:
        text = f'checkpoint = "{checkpoint}"\ntargets = ["null"]\nrecipes = ["fp32"]\ndevice = []\n{top}\n{limits}'
        (tmp_path / "edgevit.toml").write_text(text)
        env = {**sabotage(*filter(None, [mishap])), "EDGEVIT_CACHE": str(tmp_path / "cache")}
        ran = run_cli("run", *more, "--json", cwd=tmp_path, env=env)
        assert ran.returncode == code, ran.stderr
        return json.loads(ran.stdout) if ran.stdout else ran

    return run


def test_a_road_from_nothing_to_the_report_and_again(go: Any, run_cli: Any, tmp_path: Path) -> None:
    first = go(limits="[limits]\nsize_mb = 1")
    assert first["passed"] and first["folder"] == "runs/001" and first["reused"] == []
    left = sorted(path.name for path in (tmp_path / "runs" / "001").iterdir())
    assert left == ["report.html", "report.json", "report.md", "run.json"]
    assert [one["holds"] for one in first["held"]] == [True]
    assert json.loads((tmp_path / "runs/001/report.json").read_text())["held"] == first["held"]
    second = go(limits="[limits]\nsize_mb = 1", mishap=NOTHING)
    assert second["folder"] == "runs/002" and {one["what"] for one in second["reused"]} == {"null-fp32", "report"}
    report = "report.html"
    assert (tmp_path / "runs/002" / report).read_bytes() == (tmp_path / "runs/001" / report).read_bytes()
    same = run_cli("diff", "runs/001", "runs/002/run.json", "--json", cwd=tmp_path)
    assert same.returncode == 0 and {one["verdict"] for one in json.loads(same.stdout)["changes"]} == {"same"}


@pytest.mark.slow
def test_a_broken_limit_and_a_damaged_artifact(go: Any, tmp_path: Path) -> None:
    go()
    broken = go(limits="[limits]\nsize_mb = 0.001", code=1)
    (line,) = broken["broken"]
    assert line.startswith("null-fp32: size ") and line.endswith(" MB, limit 0.001")
    assert broken["artifacts"][0]["outcome"] == "OVER_BUDGET"
    reported = json.loads((tmp_path / "runs/002/report.json").read_text())
    assert reported["artifacts"][0]["outcome"] == "OVER_BUDGET" and reported["held"] == broken["held"]

    made = next((tmp_path / "runs" / "artifacts" / "null-fp32").glob("model*"))
    made.write_bytes(made.read_bytes()[:-1] + b"x")
    mended = go(limits="[limits]\nsize_mb = 1")
    assert mended["passed"] and "null-fp32" not in {one["what"] for one in mended["reused"]}, "a damaged one is made again"


def test_misuse_makes_nothing(go: Any, tmp_path: Path) -> None:
    ran = go(limits="[limits]\nsize = 1", code=2)
    assert "unknown key: size" in ran.stderr and "size_mb" in ran.stderr and not (tmp_path / "runs").exists()
    (tmp_path / "file").write_text("text")
    assert "not a folder" in go("--out", "file", code=2).stderr


def test_a_second_run_in_the_same_folder_waits(tmp_path: Path) -> None:
    said: list[str] = []
    went: list[str] = []

    def second() -> None:
        with running._alone(tmp_path / "runs", lambda label, *_: waits(label)):
            went.append("second")

    waiting = threading.Event()

    def waits(label: str) -> None:
        said.append(label)
        waiting.set()

    with running._alone(tmp_path / "runs", silent):
        other = threading.Thread(target=second)
        other.start()
        assert waiting.wait(30) and went == []
        went.append("first")
    other.join(30)
    assert went == ["first", "second"] and said == [f"waiting for another run in {tmp_path / 'runs'}"]


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run in"):
        running.read(tmp_path)
