"""One report of six artifacts that has passes, a failure, a skip, an evaluator and a hostile label; and the same, benched."""

from __future__ import annotations

import base64
import random
import statistics
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgevit import report as reports
from edgevit.ranking import interval
from edgevit.report import html, page, sweep
from edgevit.types import (
    Artifact,
    BenchRules,
    Checkpoint,
    CheckResult,
    Conditions,
    Delegation,
    DeviceFacts,
    Ending,
    Latency,
    Launch,
    Moment,
    OperatorTime,
    Outcome,
    Paired,
    Preprocess,
    Profile,
    Report,
    Sample,
    Searched,
    Sweep,
    SweepRules,
    Tolerance,
    TrainConfig,
    Trial,
    Unit,
    ViTConfig,
)

HOSTILE = "<script>document.documentElement.dataset.ran = 1</script>|x\n<img src=x onerror=document.title=1>"
MACHINE = "Somebody's laptop, 8 cores, Linux"
SHA = "ab12" * 16


def _picture() -> str:
    """A black PNG of 1 x 1 pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _checkpoint() -> Checkpoint:
    return Checkpoint(
        config=ViTConfig("Ti/8", (32, 32), 8, 192, 12, 3, 768, 3),
        preprocess=Preprocess((36, 36), (32, 32)),
        labels=("cat", "dog", HOSTILE),
        train=TrainConfig("pets", epochs=60, batch=64, lr=1e-3),
        metrics={"val_top1": 0.972, "val_loss": 0.5},
        weights_sha256="c0de" * 16,
        versions={"torch": "2.13.0", "numpy": "2.1.3"},
        folder=Path("/home/somebody/runs"),
    )


def _passed(target: str, recipe: str, file: str, size: int) -> Artifact:
    return Artifact(
        target=target,
        recipe=recipe,
        outcome=Outcome.PASS,
        file=file,
        bytes=size,
        sha256=SHA,
        delegation=Delegation(1, 310, 2),
        seconds=23.4,
        peak_bytes=1_230_000_000,
        top1=0.97,
        reference_top1=0.972,
        agreement=0.992,
        images=1000,
        relative_error=0.0171,
        same_integers=True,
        split="held-out",
        where="host",
        runtime=f"{target} runtime 1.0",
        machine=MACHINE,
        tolerance=Tolerance(0.05, 0.01, 0.97),
        checkpoint_sha256="c0de" * 16,
        files={file: SHA, "golden.safetensors": "fe" * 32},
        versions={"torch": "2.13.0", target: "1.0"},
        folder=Path("/home/somebody/exports"),
    )


def _artifacts() -> tuple[Artifact, ...]:
    fp32 = _passed("executorch", "fp32", "model.pte", 1_620_000)
    int4 = _passed("litert", "int4", "model.tflite", 262_000)
    wrong = "top-1 fell by 8.20 points"
    int4 = replace(int4, outcome=Outcome.WRONG_ANSWERS, reason=wrong, top1=0.89, agreement=0.9, same_integers=False)
    coreml = _passed("coreml", "int8", "model.mlpackage", 428_000)
    uncounted = Delegation(reason="the device decides")
    return (
        replace(fp32, top1=0.972, agreement=1.0, relative_error=1.3e-6, same_integers=None),
        _passed("executorch", "int8", "model.pte", 431_000),
        _passed("litert", "int8", "model.tflite", 447_000),
        int4,
        replace(coreml, where="reference", delegation=uncounted, files={"model.mlpackage/Manifest.json": "9a" * 32}),
        Artifact("coreml", "int4", Outcome.SKIPPED, reason="coremltools is not installed"),
    )


def _latencies() -> tuple[Latency, ...]:
    timed = {"executorch-fp32": 8.12, "executorch-int8": 4.41, "litert-int8": 4.52, "litert-int4": 4.68}
    measured = [Latency(k, "host", v, v + 0.5, v + 2, 200, 20, 2, MACHINE) for k, v in timed.items()]
    return (*measured, Latency("coreml-int8", "none", reason="Core ML does not run on Linux"))


def _samples() -> tuple[Sample, ...]:
    models = ("checkpoint", "executorch-fp32", "litert-int4")
    same = Sample(_picture(), "cat", dict.fromkeys(models, "cat"))
    split = Sample(_picture(), "dog", {**dict.fromkeys(models, "dog"), "litert-int4": "cat"})
    return same, split, Sample(_picture(), HOSTILE, dict.fromkeys(models, "cat"))


@pytest.fixture(scope="session")
def report() -> Report:
    return Report(
        title="Pets on a phone",
        made="2026-11-22 18:40 UTC",
        machine=MACHINE,
        command="edgevit all pets --out runs/pets",
        checkpoint=_checkpoint(),
        parameters=5_717_416,
        artifacts=_artifacts(),
        latencies=_latencies(),
        samples=_samples(),
        curve=tuple({"epoch": e, "loss": 2 / e, "val_loss": 2.2 / e, "val_top1": 1 - 0.5 / e} for e in (1.0, 2.0, 3.0)),
    )


@pytest.fixture
def all_pass(report: Report) -> Report:
    """The same without what failed or was skipped."""
    return replace(report, artifacts=tuple(a for a in report.artifacts if a.outcome is Outcome.PASS))


@pytest.fixture(scope="session")
def written(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the three files, to look at."""
    folder = tmp_path_factory.mktemp("written") / "report"
    reports.write(report, folder)
    return folder


@pytest.fixture
def hostile() -> str:
    return HOSTILE


PHONE, BOARD = "adb:R5CT", "ssh://pi@board"
LOCAL = DeviceFacts("local", "Somebody's laptop", "Linux 6.8", "x86_64", 8, 16_000_000_000, {"executorch": "1.4.1"})
FACTS = DeviceFacts(PHONE, "Some phone 9", "Android 15", "arm64-v8a", 8, 8_000_000_000, {"benchmark_model": "2.19"})
GONE = DeviceFacts(BOARD, "A board", reason="it did not answer", hint="is it switched on?")
RIGHT = CheckResult(Outcome.PASS, "", 0.97, 0.98, 0.99, 100, where="device")
PAIRED = Paired(5, 3, 0.73, -0.0089, 0.0049, 0.006)


def _launch(centre: float, number: int, runs: int = 20) -> Launch:
    """Runs around `centre` ms with a tail, the same each time; a launch is up to 2 % off."""
    draw = random.Random(f"{centre} {number}")
    off = centre * (1 + 0.02 * draw.uniform(-1, 1))
    times = tuple(off * (1 + abs(draw.gauss(0, 0.02)) + (draw.random() > 0.97) * 0.5) for _ in range(runs))
    before = Conditions(10.0 * number, 2400.0, "schedutil", 34.0 + number, 0.01)
    after = Conditions(10.0 * number + 5, 2300.0 - 10 * number, "schedutil", 35.0 + number, 0.02)
    figures = {"cold_ms": 41.0, "warm_ms": 12.0, "first_ms": 2 * off, "dropped": True, "threads": 4}
    memory = {"peak_bytes": 31_000_000 + int(1e6 * centre), "before_bytes": 24_000_000}
    told = {
        "times_ms": times,
        "centre_ms": statistics.median(times),
        "runs": runs,
        "warmup": 10,
        "before": before,
        "after": after,
    }
    return Launch(**{**told, **figures, **memory})  # type: ignore[arg-type]


def _timed(artifact: str, centre: float, launches: int = 6, runs: int = 20, **other: object) -> Latency:
    """With the interval that its launches have."""
    made = tuple(_launch(centre, number, runs) for number in range(launches))
    times = sorted(time for one in made for time in one.times_ms)
    p50, p90, p99 = (times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.9, 0.99))
    low, high = interval([one.centre_ms or 0.0 for one in made]) or (None, None)
    figures = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "low_ms": low, "high_ms": high}
    told = {"runs": len(times), "warmup": 10, "threads": 4, "launches": made, "device": PHONE, "where": "device"}
    return Latency(artifact=artifact, **{**figures, **told, **other})  # type: ignore[arg-type]


def _sustained(start: float) -> tuple[Moment, ...]:
    return tuple(
        Moment(300, start * (1 + 0.5 * (t > 60)), Conditions(500.0 + t, 2400.0 - 4 * t, "schedutil", 35.0 + t / 10))
        for t in range(0, 180, 10)
    )


@pytest.fixture(scope="session")
def benched(report: Report) -> Report:
    """`report` with what two devices and the host gave in place of its latencies, and one artifact's kept profile."""
    phone = (
        _timed("executorch-fp32", 20.0, answers=RIGHT, sustained=_sustained(20.0)),
        _timed("executorch-int8", 9.0, answers=RIGHT, sustained=_sustained(9.0)),
        _timed("litert-int8", 12.0, unanswered="no images were asked for"),
        _timed("litert-int8", 6.0, unit=Unit.GPU, threads=None, answers=RIGHT),
        Latency("executorch-int8", "none", device=PHONE, unit=Unit.GPU, reason="the file has no GPU delegate"),
        _timed("litert-int4", 4.0, answers=replace(RIGHT, outcome=Outcome.WRONG_ANSWERS, reason="9 of 100 differ")),
        Latency("coreml-int8", "none", device=PHONE, reason="Core ML does not run on Android"),
    )
    host = tuple(
        _timed(name, centre, device="local", where="host", machine=report.machine)
        for name, centre in (("executorch-fp32", 8.0), ("executorch-int8", 4.0), ("litert-int8", 4.02))
    )
    operators = (
        OperatorTime("xnnpack delegate", 3, 7.5, True),
        OperatorTime("native_layer_norm", 25, 1.0, False),
    )
    artifacts = tuple(replace(a, paired=PAIRED) if a.outcome is Outcome.PASS else a for a in report.artifacts)
    return replace(
        report,
        artifacts=artifacts,
        latencies=(*host, *phone),
        devices=(LOCAL, FACTS, GONE),
        rules=BenchRules(sustained=180.0, units=(Unit.CPU, Unit.GPU)),
        profiles={"executorch-int8": Profile(9.0, 50, operators, traced=False)},
    )


@pytest.fixture(scope="session")
def benched_page(benched: Report) -> str:
    return html.render(page.build(benched), benched)


@pytest.fixture
def timed() -> Callable[..., Latency]:
    """Makes a latency of an artifact around so many ms, with the interval that its launches have."""
    return _timed


def _trial(number: int, lr: float, top1: float | None, ending: Ending = Ending.DONE, **more: object) -> Trial:
    settings = {"lr": lr, "drop_path": 0.05 * (number % 4), "batch": (32, 64, 128)[number % 3], "model": "Nano/8"}
    return replace(Trial(number, settings, ending, top1, seconds=12.25, where="a"), **more)  # type: ignore[arg-type]


@pytest.fixture
def swept() -> Sweep:
    """A search with every ending of a trial, and names that are hostile."""
    said = HOSTILE + " $a^b$ [k](javascript:1) `x`"
    space = (
        Searched("lr", low=1e-4, high=1e-2, log=True), Searched("drop_path", low=0.0, high=0.2), Searched("batch", (32, 64, 128)),
        Searched("model", ("Nano/8", "Micro/8", "12345678901234567890x2x1x4/8")),
    )  # fmt: skip
    trials = (
        _trial(1, 3e-4, 0.7), _trial(2, 9e-3, None, Ending.DIVERGED, why="the loss is no longer a number, in epoch 2"),
        _trial(3, 2e-3, 0.925), _trial(4, 1e-4, None, Ending.PRUNED, epochs=(0.125, 0.2, 0.25), why="below the median"),
        _trial(5, 1e-3, 0.9, attempts=3), _trial(6, 5e-3, None, Ending.NO_MEMORY, why=said, where=said),
        _trial(7, 1e-3, None, Ending.OPEN), _trial(8, 2.5e-3, 0.925),
    )  # fmt: skip
    return Sweep(
        said, TrainConfig("/home/somebody/flowers"), space, SweepRules(8, False, 0, True), trials, 3, 143, 0.87, 0.96, 2, {},
        0.91, f"edgevit train --study {said}", "edgevit train --lr 0.002", "2026-11-27T10:00:00+00:00", "a machine",
        {"torch": "2.13"},
    )  # fmt: skip


@pytest.fixture
def swept_folder(swept: Sweep, tmp_path: Path) -> Path:
    sweep.write(swept, tmp_path)
    return tmp_path
