"""The three files of a report."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from edgevit import record
from edgevit.errors import from_os_error
from edgevit.report import words
from edgevit.types import Artifact, Checkpoint, Latency, Report

JSON, MARKDOWN, HTML = "report.json", "report.md", "report.html"


def write(report: Report, into: Path) -> None:
    """Write `report` as JSON, Markdown and HTML into the folder `into`, made where absent.

    All three are rendered before the first is written. The page needs no network and no other file. Raises BadInput
    where the place refuses.
    """
    from edgevit.report import html, markdown, page

    report = portable(report)
    content = page.build(report)
    pages = {MARKDOWN: markdown.render(content), HTML: html.render(content, report)}
    try:
        into.mkdir(parents=True, exist_ok=True)
        record.write(into / JSON, report)
        for name, text in pages.items():
            (into / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise from_os_error(error) from error


def portable(report: Report) -> Report:
    """`report` as JSON can hold it: no folders of this machine, and of series and metrics only the finite figures.

    A latency that names its artifact by folder names it by target and recipe instead, which holds wherever it is read.
    JSON has no NaN: the loss of an epoch that diverged would come back as a missing value, which `record.read` refuses.
    """
    return dataclasses.replace(
        report,
        checkpoint=_portable_checkpoint(report.checkpoint),
        artifacts=tuple(dataclasses.replace(artifact, folder=Path()) for artifact in report.artifacts),
        latencies=tuple(_portable_latency(latency, report.artifacts) for latency in report.latencies),
        curve=tuple(_finite(epoch) for epoch in report.curve),
    )


def _portable_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(checkpoint, folder=Path(), metrics=_finite(checkpoint.metrics))


def _portable_latency(latency: Latency, artifacts: tuple[Artifact, ...]) -> Latency:
    """One whose folder is no artifact's keeps its last part, by which a report can still say what it does not fit."""
    path = Path(latency.artifact)
    names = (words.name(artifact) for artifact in artifacts if artifact.folder == path)
    return dataclasses.replace(latency, artifact=next(names, path.name))


def _finite(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if math.isfinite(value)}
