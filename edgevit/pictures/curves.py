"""The curves of trainings as one picture: a small chart for each metric, several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from edgevit.pictures import paper as papers
from edgevit.pictures.paper import DARK, Drawing, Paper
from edgevit.types import Course, Panel, panels

COLOURS = (
    ("#1f5fbf", "#b4540a", "#0f7b6c", "#7a3fd1", "#b0246b", "#5c6b00", "#277796", "#6b5b4e"),
    ("#7ab0ff", "#ffa45c", "#4fd1b8", "#c4a0ff", "#ff8fc4", "#cbd65a", "#7fd0ef", "#cdbba9"),
)
"""Of the runs, or of what one run has in a chart, on light and on dark paper: the report's own."""
ACROSS = 3
"""Charts in a row."""
DASH = (0, (3, 2))
"""The line of what was trained on, where colours tell runs apart."""


def curves(courses: Sequence[Course]) -> Drawing:
    names = ", ".join(papers.short(course.name, 40) for course in courses)
    title = f"Training of {names}"
    words = "Each chart is a metric by epoch. " + (
        "Solid lines are held-out images, dashed ones the training." if _many(courses) else ""
    )
    return Drawing("curves", title, words, lambda paper: _draw(courses, title, paper))


def _many(courses: Sequence[Course]) -> bool:
    return len(courses) > 1


def _draw(courses: Sequence[Course], title: str, paper: Paper) -> Figure:
    shown = panels(courses)
    across = min(ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure = papers.sheet(3.6 * across + 0.4, 2.6 * down + (0.8 if _many(courses) else 0.4))
    grid = figure.subplots(down, across, squeeze=False)
    for axes, panel in zip(grid.flat, shown, strict=False):
        _panel(axes, panel, courses, paper)
    for axes in list(grid.flat)[len(shown) :]:
        papers.bare(axes, paper)
    figure.suptitle(papers.short(title, 40 * across), color=paper.ink, fontsize=papers.FONT + 3, parse_math=False)
    if _many(courses):
        _legend(figure, courses, paper)
    return figure


def _panel(axes: Axes, panel: Panel, courses: Sequence[Course], paper: Paper) -> None:
    for run, course in enumerate(courses):
        for number, series in enumerate(panel.series):
            if line := course.line(series.key, panel.scale):
                colour = _colours(paper)[run if _many(courses) else _place(panel, number)]
                style = DASH if _many(courses) and series.name == "training" else "-"
                marker = "o" if len(line) == 1 else ""
                x, y = zip(*line, strict=True)
                axes.plot(x, y, color=colour, linewidth=1.5, linestyle=style, marker=marker, markersize=4, label=series.name)
    papers.name(axes, paper, "", "")
    papers.title(axes, paper, f"{panel.title}, {panel.unit}" if panel.unit else panel.title)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=paper.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("epoch", color=paper.muted, fontsize=papers.FONT - 1)
    if len(panel.series) > 1 and not _many(courses):
        axes.legend(frameon=False, labelcolor=paper.ink, fontsize=papers.FONT - 1)


def _place(panel: Panel, number: int) -> int:
    """The colour of a series in the picture of one run: held-out is the second everywhere."""
    return 1 if panel.series[number].name == "held-out" else number


def _colours(paper: Paper) -> tuple[str, ...]:
    return COLOURS[paper is DARK]


def _legend(figure: Figure, courses: Sequence[Course], paper: Paper) -> None:
    """The runs by colour, below all charts."""
    colours = _colours(paper)
    handles = [
        Line2D([], [], color=colours[run], linewidth=2, label=papers.short(course.name, 40)) for run, course in enumerate(courses)
    ]
    handles.append(Line2D([], [], color=paper.muted, linewidth=1.5, linestyle=DASH, label="dashed: training"))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, labelcolor=paper.ink)
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_fontsize(papers.FONT)
