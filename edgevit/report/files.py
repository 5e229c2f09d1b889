"""The three files of a report."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any, TypeVar

from edgevit import record
from edgevit.errors import from_os_error
from edgevit.types import Artifact, Checkpoint, Conditions, Gallery, Latency, Launch, Moment, Report, TrainConfig

T = TypeVar("T", Latency, Launch, Conditions)

JSON, MARKDOWN, HTML = "report.json", "report.md", "report.html"
ABSOLUTE = re.compile(r"(?:(?<=\s)|^)/(?:[^/;]*/)*(?=[^/;])")
"""The folders before the last part of a path, in a text of several facts with semicolons between."""


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

    Of data, checkpoints and weights that are paths the last part stays; `command` is what was typed, whatever it names.
    A latency that names its artifact by folder names it by target and recipe instead, which holds wherever it is read.
    JSON has no NaN: the loss of an epoch that diverged would come back as a missing value, which `record.read` refuses.
    """
    return dataclasses.replace(
        report,
        checkpoint=_portable_checkpoint(report.checkpoint),
        artifacts=tuple(dataclasses.replace(artifact, folder=Path()) for artifact in report.artifacts),
        latencies=tuple(_portable_latency(latency, report.artifacts) for latency in report.latencies),
        curve=tuple(_finite(epoch) for epoch in report.curve),
        evaluated=_portable_gallery(report.evaluated, report.checkpoint.train),
        inside=_portable_gallery(report.inside, report.checkpoint.train),
    )


def _portable_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    train, source = checkpoint.train, ABSOLUTE.sub("", checkpoint.source)
    if train:
        named: dict[str, Any] = {name: _last_part(value) for name, value in _places(train).items()}
        train = dataclasses.replace(train, **named)
    return dataclasses.replace(checkpoint, folder=Path(), metrics=_finite(checkpoint.metrics), train=train, source=source)


def _places(train: TrainConfig) -> dict[str, str]:
    """Those settings that are absolute paths."""
    named = {"data": train.data, "start": train.start, "teacher": train.teacher}
    return {name: value for name, value in named.items() if value and Path(value).is_absolute()}


def _last_part(path: str) -> str:
    return Path(path).name or path


def _portable_gallery(gallery: Gallery, train: TrainConfig | None) -> Gallery:
    """Its words may name the images that the checkpoint was trained from."""

    def portable(words: str) -> str:
        for place in _places(train).values() if train else ():
            words = words.replace(place, _last_part(place))
        return words

    pictures = tuple(dataclasses.replace(picture, words=portable(picture.words)) for picture in gallery.pictures)
    return dataclasses.replace(gallery, pictures=pictures, notes=tuple(map(portable, gallery.notes)))


def _portable_latency(latency: Latency, artifacts: tuple[Artifact, ...]) -> Latency:
    """One whose folder is no artifact's keeps its last part, by which a report can still say what it does not fit."""
    path = Path(latency.artifact)
    names = (artifact.name for artifact in artifacts if artifact.folder == path)
    launches, moments = tuple(map(_finite_launch, latency.launches)), tuple(filter(None, map(_finite_moment, latency.sustained)))
    return _numbers(dataclasses.replace(latency, artifact=next(names, path.name), launches=launches, sustained=moments))


def _finite_launch(launch: Launch) -> Launch:
    times = tuple(time for time in launch.times_ms if math.isfinite(time))
    before, after = (_finite_conditions(found) for found in (launch.before, launch.after))
    return _numbers(dataclasses.replace(launch, times_ms=times, before=before, after=after))


def _finite_moment(moment: Moment) -> Moment | None:
    conditions = _finite_conditions(moment.conditions)
    return dataclasses.replace(moment, conditions=conditions) if conditions and math.isfinite(moment.p50_ms) else None


def _finite_conditions(found: Conditions | None) -> Conditions | None:
    return _numbers(found) if found and math.isfinite(found.seconds) else None


def _numbers(told: T) -> T:
    """A device may tell anything: a figure that is no number is one that it does not tell."""
    odd: dict[str, Any] = {
        f.name: None for f in dataclasses.fields(told) if isinstance(x := getattr(told, f.name), float) and not math.isfinite(x)
    }
    return dataclasses.replace(told, **odd)


def _finite(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if math.isfinite(value)}
