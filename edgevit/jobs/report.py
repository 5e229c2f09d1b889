"""Gathering what a report shows."""

from __future__ import annotations

import base64
import datetime
import io
from pathlib import Path

import numpy as np
from PIL import Image

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import record
from edgevit.data.preprocess import denormalise
from edgevit.errors import BadInput
from edgevit.types import Artifact, Bench, Held, Profile, Progress, Report, Sample
from edgevit.versions import machine


def report(
    made: tuple[Artifact, ...],
    benches: tuple[Bench, ...],
    out: Path,
    title: str,
    command: str,
    held: tuple[Held, ...],
    progress: Progress,
) -> Report:
    """Write the report of artifacts of one checkpoint into `out`. Raises DamagedFile for a kept profile that is none."""
    import edgevit.report
    from edgevit.folder import files_written_whole
    from edgevit.jobs import look
    from edgevit.training import watch
    from edgevit.vit.config import parameters

    progress("writing the report", 0, 1)
    whole = [artifact for artifact in made if artifact.file]
    if not whole:
        raise BadInput("no artifact to report on: every export failed", "edgevit export says why")
    source = checkpoints.read(whole[0].folder / whole[0].checkpoint)
    curve = tuple(watch.read(source.folder.parent / watch.LINES))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    latencies = tuple(latency for bench in benches for latency in bench.latencies)
    samples, count = _samples(whole), parameters(source.config)
    evaluation, evaluated = look.evaluated(whole[0], progress)
    inside = look.inside(whole[0], progress)
    found = Report(
        title, now, machine(), command, source, count, made, latencies, samples, curve, evaluation, evaluated, inside,
        tuple(bench.device for bench in benches), benches[0].rules if benches else None, _profiles(whole), held,
    )  # fmt: skip
    with files_written_whole(out) as partial:
        edgevit.report.write(found, partial)
    progress("writing the report", 1, 1)
    return found


def _profiles(whole: list[Artifact]) -> dict[str, Profile]:
    kept = ((artifact.name, artifact.folder / artifacts.PROFILE) for artifact in whole if artifacts.PROFILE in artifact.files)
    return {name: record.read(path, Profile) for name, path in kept}


def _samples(whole: list[Artifact]) -> tuple[Sample, ...]:
    """The golden images with everybody's answers. They are the same for all artifacts of one export."""
    batches = [(artifact, artifacts.read_golden(artifact.folder, artifact.config)) for artifact in whole if artifact.config]
    first, golden = batches[0]
    assert first.preprocess
    pictures = denormalise(golden.images, first.preprocess)
    found = []
    for i, picture in enumerate(pictures):
        answers = {"checkpoint": first.labels[int(golden.logits[i].argmax())]}
        for artifact, batch in batches:
            if batch.artifact_logits is not None and np.array_equal(batch.images, golden.images):
                answers[artifact.name] = _answer(artifact, batch.artifact_logits[i])
        found.append(Sample(_data_uri(picture), first.labels[int(golden.classes[i])], answers))
    return tuple(found)


def _answer(artifact: Artifact, logits: np.ndarray) -> str:
    return artifact.labels[int(logits.argmax())] if np.isfinite(logits).all() else "no number"


def _data_uri(picture: np.ndarray) -> str:
    """uint8 (H, W, 3) as a PNG in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
