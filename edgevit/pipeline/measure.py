"""Latency, predictions, the report, and the whole road at once."""

from __future__ import annotations

import os
from pathlib import Path

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import stage
from edgevit.pipeline.export import export, pairs
from edgevit.pipeline.training import choose_data, train
from edgevit.types import Artifact, Checkpoint, Latency, Prediction, Progress, Report, TrainConfig

LATENCY_RUNS, LATENCY_WARMUP = 100, 10


def bench(folders: list[Path], runs: int, warmup: int, threads: int | None, progress: Progress) -> list[Latency]:
    """Latency of the artifacts, interleaved. `threads` is by default the number of cores."""
    for path in folders:
        artifacts.model_file(artifacts.read(path))
    arguments = {"folders": folders, "runs": runs, "warmup": warmup, "threads": threads or os.cpu_count() or 1}
    return stage.run("edgevit.jobs.measure:bench", list[Latency], progress, **arguments).value


def predict(model: Path, images: list[Path], top: int, progress: Progress) -> list[Prediction]:
    folder_ = model if (model / artifacts.RECORD).is_file() else checkpoints.find(model)
    arguments = {"model": folder_, "images": images, "top": top}
    return stage.run("edgevit.jobs.predict:predict", list[Prediction], progress, **arguments).value


def report(
    made: list[Artifact], latencies: list[Latency], out: Path, title: str, command: str, force: bool, progress: Progress
) -> Report:
    """Write report.html, .md and .json into `out`. The artifacts are of one checkpoint."""
    arguments = {"made": made, "latencies": latencies, "out": out, "title": title, "command": command, "force": force}
    return stage.run("edgevit.jobs.report:report", Report, progress, **arguments).value


def demo(
    out: Path, epochs: int | None, force: bool, command: str, progress: Progress
) -> tuple[Checkpoint, list[Artifact], list[Latency], Report]:
    """The whole road on the built-in digits, into `out`."""
    settings = TrainConfig(data="digits", epochs=epochs)
    checkpoint = train(settings, out / "checkpoint", force, progress)
    data = choose_data(checkpoint, None, "held-out", "refuse")
    wanted = pairs(["all"], ["fp32", "int8"])
    made = list(export(checkpoint.folder, wanted, data, out / "export", force, progress))
    latencies = bench([a.folder for a in made if a.file], LATENCY_RUNS, LATENCY_WARMUP, None, progress)
    title = "edgevit demo: handwritten digits"
    return checkpoint, made, latencies, report(made, latencies, out, title, command, force, progress)
