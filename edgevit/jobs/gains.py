"""What each rewrite of an artifact gives: files without it, launched in turn with the artifact's own."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

from edgevit import artifact as artifacts
from edgevit import folder, ranking
from edgevit.bench import protocol
from edgevit.bench.protocol import Run
from edgevit.jobs.bench import RUNTIMES
from edgevit.jobs.export import PROVING, as_converted
from edgevit.types import Artifact, BenchRules, Delegation, Gain, Gains, Model, Progress, Unit
from edgevit.versions import machine
from targets.devices import Access, connect


def convert(path: Path, checkpoint: Path, without: str, into: Path, progress: Progress) -> Delegation:
    """Convert the artifact at `path` once more without that rewrite, to `into`/model.*, and count what the delegate took."""
    import torch

    import converters
    import targets
    from converters.order import Order

    artifact = artifacts.read(path)
    assert artifact.config and artifact.quantization and artifact.preprocess
    images = torch.from_numpy(artifacts.read_golden(path, artifact.config).images)
    model = as_converted(checkpoint, artifact)
    order = Order(
        model, artifact.quantization, images[:PROVING], artifact.preprocess, artifact.labels, artifact.input, images,
        without=without,
    )  # fmt: skip
    made = converters.convert(targets.get(artifact.target).converter, order, into, progress)
    return targets.delegation(artifact.target, into / made.file) or made.delegation


def measure(path: Path, folders: dict[str, Path], gains: tuple[Gain, ...], rules: BenchRules, progress: Progress) -> Gains:
    """Launch the artifact at `path` and the files in `folders`, by the name of the rewrite that each lacks, on this machine."""
    artifact = artifacts.read(path)
    there = connect("local", Access())
    try:
        models = [_model(artifact, "", artifacts.model_file(artifact))]
        models += [_model(artifact, name, next(into.glob("model*"))) for name, into in folders.items()]
        runs = {run.model.artifact: run for run in protocol.measure(there, models, rules, progress)}
    finally:
        there.close(False)
    whole = runs.get("") or Run(models[0], Unit.CPU)
    told = tuple(_gain(one, runs[one.rewrite], whole) if one.rewrite in runs else one for one in gains)
    centres = whole.centres()
    p50 = statistics.median(centres) if centres else None
    return Gains(artifact.name, p50, artifact.delegation, told, rules.threads, len(centres), machine(), whole.fault)


def _model(artifact: Artifact, name: str, file: Path) -> Model:
    assert artifact.preprocess
    return Model(name, file, folder.sha256(file), RUNTIMES[file.suffix], artifact.input, artifact.preprocess)


def _gain(one: Gain, run: Run, whole: Run) -> Gain:
    """The times of the same round are divided: what slows a round slows both."""
    if run.fault or whole.fault:
        return dataclasses.replace(one, reason=run.fault or f"the artifact itself: {whole.fault}")
    ratios = [mine / its for mine, its in zip(run.centres(), whole.centres(), strict=True)]
    low, high = ranking.interval(ratios) or (None, None)
    return dataclasses.replace(one, ratio=statistics.median(ratios), low=low, high=high)
