"""How a training went: its metrics by epoch, and what stands together in one chart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgevit.types.train import Checkpoint

Row = dict[str, float]
"""The metrics of an epoch, by name; one that was not measured is absent."""
Line = tuple[tuple[float, float], ...]
"""Epochs and values, all finite."""


@dataclass(frozen=True)
class Watched:
    """What is kept beside a run: where it was trained, its name at each service that watches, and what went wrong with whom."""

    machines: tuple[str, ...] = ()
    """The first is where it began; it may have gone on elsewhere."""

    ids: dict[str, str] = dataclasses.field(default_factory=dict)
    faults: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """The story of one training. `best` is the record of the checkpoint that was chosen, where one is whole."""

    name: str
    folder: Path
    rows: tuple[Row, ...]
    best: Checkpoint | None = None
    watched: Watched = Watched()

    def line(self, key: str, scale: float = 1.0) -> Line:
        """One metric by epoch, in the epochs that have it; a row without an epoch counts by its place."""
        rows = ((row.get("epoch", float(place)), row.get(key)) for place, row in enumerate(self.rows, 1))
        return tuple((epoch, scale * value) for epoch, value in rows if value is not None and math.isfinite(value))

    def mean(self, key: str) -> float | None:
        """Over the epochs that have it, but the first where there are more: that one warms up."""
        values = [value for _, value in self.line(key)]
        steady = values[1:] or values
        return sum(steady) / len(steady) if steady else None


@dataclass(frozen=True)
class Series:
    key: str
    name: str
    """What it is called beside the others of its panel."""


@dataclass(frozen=True)
class Panel:
    """Metrics that share an axis. A value times `scale` has the `unit`."""

    title: str
    series: tuple[Series, ...]
    unit: str = ""
    scale: float = 1.0


PANELS = (
    Panel("Loss", (Series("loss", "training"), Series("val_loss", "held-out"))),
    Panel("Top-1", (Series("top1", "training"), Series("val_top1", "held-out")), "%", 100),
    Panel("Colours predicted", (Series("val_colours", "held-out"),), "%", 100),
    Panel("Learning rate", (Series("lr", "learning rate"),)),
    Panel("Throughput", (Series("images_per_second", "throughput"),), "images/s"),
    Panel("Model flops utilisation", (Series("mfu", "model flops utilisation"),), "%", 100),
    Panel("Time spent waiting for images", (Series("data_wait", "waiting"),), "%", 100),
    Panel("Norm of the gradient", (Series("grad_norm", "norm"),)),
    Panel("Time for an epoch", (Series("seconds", "time"),), "s"),
    Panel("Peak memory", (Series("peak_gb", "memory"),), "GB"),
)
"""What is known of a training, most wanted first. A metric that none of them names has a panel of its own."""


def panels(courses: Iterable[Course]) -> tuple[Panel, ...]:
    """Those that have anything to show of any of the courses, each with the series that have."""
    courses = tuple(courses)
    held = {key for course in courses for row in course.rows for key in row if course.line(key)} - {"epoch"}
    known = {series.key for panel in PANELS for series in panel.series}
    others = tuple(Panel(key.replace("_", " "), (Series(key, key.replace("_", " ")),)) for key in sorted(held - known))
    few = (
        dataclasses.replace(panel, series=tuple(series for series in panel.series if series.key in held))
        for panel in (*PANELS, *others)
    )
    return tuple(panel for panel in few if panel.series)
