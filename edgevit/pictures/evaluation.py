"""Pictures of how good the answers are: which classes are taken for which, and whether the probabilities can be believed."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from edgevit.pictures import paper as papers
from edgevit.pictures.paper import Drawing, Paper
from edgevit.types import Confused, EvalResult

NAMED = 50
"""Most classes whose names fit along the axes."""
COUNTED = 16
"""Most classes whose cells have room for a number."""
LISTED = 12
"""Pairs that are listed where there is no room for names."""


def confusion(found: EvalResult) -> Drawing:
    classes, wrong = len(found.per_class), sum(pair.images for pair in found.confused)
    title = f"Confusion of {classes} classes"
    words = (
        f"Rows are true classes, columns are answers; the diagonal is right. {wrong:,} of {found.images:,} images are off it, in "
        f"{len(found.confused):,} of {classes * (classes - 1):,} cells. {_worst(found)}Colour is the share of the row's images, "
        "on a scale that lets small shares be seen."
    )
    if classes > NAMED:
        words += " There are too many classes to name along the axes: the most confused pairs are listed."
    return Drawing("confusion", title, words, lambda paper: _confusion(found, title, paper))


def _worst(found: EvalResult) -> str:
    if not found.confused:
        return "Nothing is confused. "
    worst = found.confused[0]
    if worst.images == 1:
        return "No class is taken for another more than once. "
    return f"Most often {papers.short(worst.truth, 60)} is taken for {papers.short(worst.answer, 60)}: {worst.images} times. "


def _confusion(found: EvalResult, title: str, paper: Paper) -> Figure:
    return _named(found, title, paper) if len(found.per_class) <= NAMED else _unnamed(found, title, paper)


def counts(found: EvalResult) -> np.ndarray:
    """The matrix (classes, classes) of images, true classes down."""
    matrix = np.diag([score.right for score in found.per_class])
    for pair in found.confused:
        matrix[pair.classes] = pair.images
    return matrix


def _shares(matrix: np.ndarray) -> np.ndarray:
    """In percent of the row; a class without images has none."""
    return 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)


def _named(found: EvalResult, title: str, paper: Paper) -> Figure:
    matrix, labels = counts(found), [papers.short(score.label, 18) for score in found.per_class]
    side = max(3.2, min(9.0, 0.42 * len(labels)))
    figure = papers.sheet(side + 2.3, side + 1.3)
    axes = figure.subplots()
    drawn = axes.imshow(_shares(matrix), cmap=paper.depth, norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    _frame(axes, paper, title)
    size = papers.FONT - 1 if len(labels) <= 24 else papers.FONT - 3
    tilted = axes.set_xticks(range(len(labels)), labels, fontsize=size, parse_math=False)
    for tick in tilted:
        tick.label1.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels, fontsize=size, parse_math=False)
    if len(labels) <= COUNTED:
        _write_counts(axes, matrix, paper)
    _percents(axes, paper, drawn)
    return figure


def _frame(axes: Axes, paper: Paper, title: str) -> None:
    papers.title(axes, paper, title)
    papers.name(axes, paper, "answer", "truth")


def _percents(axes: Axes, paper: Paper, drawn: object) -> None:
    papers.scale(axes, paper, drawn, "% of the images of the true class")  # type: ignore[arg-type]


def _write_counts(axes: Axes, matrix: np.ndarray, paper: Paper) -> None:
    """Ink on pale cells, ground on deep ones."""
    for (row, column), share in np.ndenumerate(_shares(matrix)):
        if matrix[row, column]:
            colour = paper.ground if share > 17 else paper.ink
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=papers.FONT - 2)


def _unnamed(found: EvalResult, title: str, paper: Paper) -> Figure:
    """Cells as marks of a size that can be seen: one of a million would be lost between the dots of a picture."""
    matrix = counts(found)
    figure = papers.sheet(9.6, 6.0)
    axes, beside = figure.subplots(1, 2, width_ratios=(2.1, 1))
    rows, columns = np.nonzero(matrix)
    side = max(1.6, 300 / len(matrix))
    drawn = axes.scatter(
        columns,
        rows,
        s=side**2,
        c=_shares(matrix)[rows, columns],
        marker="s",
        linewidths=0,
        cmap=paper.depth,
        norm=PowerNorm(0.5, 0, 100),
    )
    _frame(axes, paper, title)
    axes.set(xlim=(-0.5, len(matrix) - 0.5), ylim=(len(matrix) - 0.5, -0.5), aspect="equal")
    axes.set_xlabel("number of the answered class", color=paper.muted, fontsize=papers.FONT)
    axes.set_ylabel("number of the true class", color=paper.muted, fontsize=papers.FONT)
    _percents(axes, paper, drawn)
    _list(beside, found.confused[:LISTED], paper)
    return figure


def _list(axes: Axes, pairs: tuple[Confused, ...], paper: Paper) -> None:
    papers.bare(axes, paper)
    papers.title(axes, paper, "Most confused")
    for number, pair in enumerate(pairs):
        truth, answer = papers.short(pair.truth, 30), papers.short(pair.answer, 28)
        y = 1 - (number + 0.6) / LISTED
        axes.text(0, y, f"{pair.images}", color=paper.ink, fontsize=papers.FONT, va="center", weight="bold")
        text = f"{truth}\ntaken for {answer}"
        axes.text(0.13, y, text, color=paper.ink, fontsize=papers.FONT - 1.5, va="center", parse_math=False)


def reliability(found: EvalResult) -> Drawing:
    title = "Confidence and accuracy"
    assert found.ece is not None
    words = (
        f"The images in {len(found.bins)} bins by the probability that their answer was given. A bar that ends at the dashed "
        "line belongs to answers that are right just so often; below the line the model believes itself too much, above it "
        f"too little. {_sure(found)} The expected calibration error, the mean distance from the line, is "
        f"{100 * found.ece:.2f} points."
    )
    return Drawing("reliability", title, words, lambda paper: _reliability(found, title, paper))


def _sure(found: EvalResult) -> str:
    mean = sum(b.images * (b.confidence or 0) for b in found.bins) / found.images
    compared = "less sure than" if mean < found.top1 else "more sure than" if mean > found.top1 else "as sure as"
    said = f"On average it gives {100 * mean:.1f} % to its answers and is right in {100 * found.top1:.1f} %"
    return f"{said}: it is {compared} it should be."


def _reliability(found: EvalResult, title: str, paper: Paper) -> Figure:
    figure = papers.sheet(5.2, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middles = [50 * (b.low + b.high) for b in found.bins]
    width = 100 / len(found.bins) * 0.92
    accuracy = [100 * (b.accuracy or 0) for b in found.bins]
    upper.bar(middles, accuracy, width, color=paper.first, label="accuracy")
    upper.plot([0, 100], [0, 100], color=paper.ink, linewidth=1.3, linestyle=(0, (4, 3)), label="as sure as right")
    upper.set(xlim=(0, 100), ylim=(0, 100))
    lower.bar(middles, [100 * b.images / found.images for b in found.bins], width, color=paper.muted)
    papers.title(upper, paper, f"{title}: error {100 * (found.ece or 0):.2f} points")
    papers.name(upper, paper, "", "accuracy, %")
    papers.name(lower, paper, "probability of the answer, %", "images, %")
    for axes in (upper, lower):
        axes.grid(axis="y", color=paper.line, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
    upper.legend(frameon=False, labelcolor=paper.ink, fontsize=papers.FONT - 1, loc="upper left")
    return figure
