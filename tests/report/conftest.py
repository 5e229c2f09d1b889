"""One report of six artifacts that has passes, a failure, a skip, an evaluator and a hostile label."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from edgevit import report as reports
from edgevit.types import (
    Artifact,
    Checkpoint,
    Delegation,
    Latency,
    Outcome,
    Preprocess,
    Report,
    Sample,
    Tolerance,
    TrainConfig,
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


@pytest.fixture
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


@pytest.fixture
def written(report: Report, tmp_path: Path) -> Path:
    """The folder of the three files."""
    reports.write(report, tmp_path / "report")
    return tmp_path / "report"


@pytest.fixture
def hostile() -> str:
    return HOSTILE
