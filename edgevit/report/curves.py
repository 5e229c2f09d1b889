"""How training went: loss and held-out top-1 by epoch."""

from __future__ import annotations

import math

from edgevit.report import charts, svg
from edgevit.report.charts import Chart
from edgevit.types import Report

SERIES = {"loss": ("training", 0), "val_loss": ("held-out", 1), "val_top1": ("held-out", 1)}
"""What a column of the curve is called, and the number of its colour."""

Line = list[tuple[float, float]]
"""Epochs and values, finite."""


def draw(report: Report) -> tuple[Chart, ...]:
    """One chart of the losses and one of top-1; none where the record holds no curve."""
    loss = _chart(report, "Loss", ("loss", "val_loss"), 1)
    top1 = _chart(report, "Top-1 on held-out images, %", ("val_top1",), 100)
    return tuple(chart for chart in (loss, top1) if chart)


def _chart(report: Report, title: str, keys: tuple[str, ...], scale: float) -> Chart | None:
    drawn = {key: line for key in keys if (line := _line(report, key, scale))}
    if not drawn:
        return None
    figure, axes = charts.empty("epoch", "")
    for key, line in drawn.items():
        name, colour = SERIES[key]
        marker = "o" if len(line) == 1 else ""
        axes.plot(*zip(*line, strict=True), marker=marker, color=svg.colour(colour), linewidth=1.8, label=name)
    if len(drawn) > 1:
        axes.legend(frameon=False, labelcolor=svg.INK)
    told = "; ".join(_told(SERIES[key][0], line) for key, line in drawn.items())
    return Chart(title, svg.themed(figure, title), f"{title}, by epoch: {told}", f"{told[0].upper()}{told[1:]}.")


def _line(report: Report, key: str, scale: float) -> Line:
    """The finite values of one column; a row without an epoch counts by its place."""
    rows = enumerate(report.curve, 1)
    found = [(row.get("epoch", number), scale * row[key]) for number, row in rows if key in row]
    return [(epoch, value) for epoch, value in found if math.isfinite(value)]


def _told(name: str, line: Line) -> str:
    (first, start), (last, end) = line[0], line[-1]
    return f"{name} from {start:.3g} in epoch {first:g} to {end:.3g} in epoch {last:g}"
