"""How a training went, for who sits before a terminal: figures in lines, and curves where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence

from edgevit.cli import charts, console
from edgevit.types import Course, Panel, panels

AFTER = ("Loss", "Top-1", "Colours predicted")
"""What is drawn when a training is over; the command `curves` draws more."""
WIDEST, ROWS = 60, 8
"""Columns of a chart at most, and its rows."""


def lines(course: Course) -> list[str]:
    """The last epoch and the best, and what an epoch took."""
    return [line for line in (_result(course), _cost(course)) if line]


def _result(course: Course) -> str:
    last = course.rows[-1]
    said = [f"{words} {value}" for key, words in RESULTS.items() if (value := _shown(key, last.get(key)))]
    best = _best(course)
    return f"last epoch {last.get('epoch', len(course.rows)):.0f}: {', '.join(said)}{best}" if said else ""


def _best(course: Course) -> str:
    """The highest top-1, and else the lowest loss, where that is not the last epoch's."""
    key, sign = ("val_top1", -1) if course.line("val_top1") else ("val_loss", 1)
    line = course.line(key)
    if not line:
        return ""
    epoch, value = min(line, key=lambda point: sign * point[1])
    return f"; best {RESULTS[key]} {_shown(key, value)} in epoch {epoch:.0f}" if value != line[-1][1] else ""


RESULTS = {"val_top1": "top-1", "val_colours": "colours predicted", "loss": "training loss", "val_loss": "held-out loss"}


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.2f} %" if key in ("val_top1", "val_colours") else f"{value:.4f}"


def _cost(course: Course) -> str:
    said = [words.format(scale * value) for key, (words, scale) in COSTS.items() if (value := course.mean(key)) is not None]
    return ", ".join(said)


COSTS = {
    "seconds": ("{:.1f} s an epoch", 1.0), "images_per_second": ("{:,.0f} images/s", 1.0),
    "mfu": ("MFU {:.1f} %", 100.0), "data_wait": ("{:.1f} % of the time waiting for images", 100.0),
    "peak_gb": ("{:.1f} GB of memory at most", 1.0),
}  # fmt: skip
"""What the mean over the epochs is called, and what it is multiplied by."""


def show(courses: Sequence[Course], only: Sequence[str] = ()) -> None:
    """Charts beside each other on a terminal; elsewhere a line for each metric: where it began and where it ended."""
    shown = [panel for panel in panels(courses) if not only or panel.title in only]
    width, terminal = console.width()
    if not terminal:
        for panel in shown:
            for line in _plain(panel, courses):
                console.out(line)
        return
    across = max(1, min(2, width // 40))
    each = min(WIDEST, width // across - 3)
    if len(courses) > 1:
        console.beside([charts.legend([charts.Drawn(course.name, (), number) for number, course in enumerate(courses)])], 1)
    found = [charts.chart(_titled(panel), _drawn(panel, courses), each, ROWS) for panel in shown if _drawn(panel, courses)]
    console.beside(found, across)


def _titled(panel: Panel) -> str:
    return f"{panel.title}, {panel.unit}" if panel.unit else panel.title


def _drawn(panel: Panel, courses: Sequence[Course]) -> list[charts.Drawn]:
    """Of several runs the held-out images alone: more lines cannot be told apart."""
    if len(courses) == 1:
        return [
            charts.Drawn(series.name, line, int(series.name == "held-out"))
            for series in panel.series
            if (line := courses[0].line(series.key, panel.scale))
        ]
    series = panel.series[-1]
    return [
        charts.Drawn("", line, number) for number, course in enumerate(courses) if (line := course.line(series.key, panel.scale))
    ]


def _plain(panel: Panel, courses: Sequence[Course]) -> list[str]:
    found = []
    for course in courses:
        for series in panel.series:
            if line := course.line(series.key, panel.scale):
                whose = f"{course.name}: " if len(courses) > 1 else ""
                name = f"{_titled(panel)}, {series.name}" if len(panel.series) > 1 else _titled(panel)
                (first, start), (last, end) = line[0], line[-1]
                found.append(f"{whose}{name}: {start:.4g} in epoch {first:g}, {end:.4g} in epoch {last:g}")
    return found


def faults(course: Course) -> None:
    """What did not follow the training, once more, where nobody can miss it."""
    for name, words in course.watched.faults.items():
        console.warn(f"{name} {words}")
