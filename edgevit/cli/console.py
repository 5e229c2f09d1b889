"""What people see: data on stdout, everything else on stderr; bars on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from edgevit import record
from edgevit.errors import EdgevitError
from edgevit.types import Progress, read_label
from edgevit.types.work import MARKED, SAID

_out = Console(soft_wrap=True, highlight=False, emoji=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

LASTS = 5.0
"""Seconds after which something without an end is named where no bar moves."""
WIDE, BESIDE = 100, 42
"""Columns of a terminal that has room for a long bar, and what stands beside the words of a work where the bar is short."""
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What moves a terminal's cursor or changes its colours, and the bytes of a name that is no text."""


def out(text: str) -> None:
    """A line of data."""
    _out.print(plain(text))


def note(text: str) -> None:
    """A line for the person who watches."""
    _err.print(plain(text))


def plain(text: str, style: str = "") -> Text:
    """The very characters of `text`: labels and names of files are others', and no markup; what cannot be seen is spelled out."""
    return Text(UNSEEN.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text), style)


def error(problem: EdgevitError) -> None:
    _err.print(Text.assemble(("error: ", "bold red"), plain(problem.message)))
    if problem.hint:
        _err.print(Text.assemble(("\nhint: ", "bold"), plain(problem.hint)))


def warn(text: str) -> None:
    """What nobody should miss."""
    _err.print(Text.assemble(("warning: ", "bold yellow"), plain(text)))


def width() -> tuple[int, bool]:
    """Columns of the place that data goes to, and whether that is a terminal."""
    return _out.width, _out.is_terminal


def beside(drawn: Sequence[Text], across: int) -> None:
    """Drawings in rows of `across`."""
    grid = Table.grid(padding=(0, 3, 1, 0))
    for start in range(0, len(drawn), across):
        grid.add_row(*drawn[start : start + across])
    _out.print(grid)


def json(value: object) -> None:
    """`value` as JSON on stdout, for machines: never wrapped or coloured."""
    sys.stdout.write(record.encode(record.builtins(value)).decode())


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = Table(
        title=plain(title, "bold"),
        title_justify="left",
        header_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        shown.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        shown.add_row(*(_coloured(cell) for cell in row))
    Console(highlight=False, emoji=False).print(shown)


def _coloured(cell: str) -> Text:
    known = {"PASS": "green", "SKIPPED": "yellow", "UNDELEGATED": "bold red"}
    return plain(cell, known.get(cell, "bold red" if cell.isupper() and "_" in cell else ""))


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A Progress that shows a bar for each work on a terminal; elsewhere, `_Lines` prints a line per label."""
    if _err.is_terminal:
        with _bars() as bars:
            yield bars
    else:
        lines = _Lines()
        try:
            yield lines
        finally:
            lines.stop()


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    columns = (
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(40 if _err.width >= WIDE else 10), _Count(),
        TimeElapsedColumn(), TextColumn("left"), _Left(),
    )  # fmt: skip
    with RichProgress(*columns, console=_err, transient=True) as bars:
        yield _Bars(bars)


def _cut(words: str, room: int) -> str:
    return words if len(words) <= room else f"{words[: max(0, room - 1)]}…"


class _Count(MofNCompleteColumn):
    """How many of how many; a work with words of its own says that in them."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.percentage:.0f} %") if task.fields.get("detail") else super().render(task)


class _Left(TimeRemainingColumn):
    """The time that is left as the work itself knows it, or else as its pace so far tells."""

    max_refresh = None  # type: ignore[assignment]  # a work that stands still is looked at as often as one that moves

    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        if left is None:
            return super().render(task)
        minutes, seconds = divmod(round(left), 60)
        return Text(f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}", "progress.remaining")


def _lane(label: str) -> tuple[str, str]:
    """Which of several works at once a label is of, and what it does: "NAME: label". No name where there is one work only."""
    name, colon, what = label.partition(": ")
    return (name, what) if colon else ("", label)


class _Bars:
    """A bar for each work that runs, with what it does now. A work that does nothing any more is over."""

    def __init__(self, bars: RichProgress) -> None:
        self.bars = bars
        self.shown: dict[str, tuple[str, TaskID]] = {}

    def __call__(self, label: str, done: float, total: float | None) -> None:
        if SAID in label:
            warn(label.replace(SAID, ""))
        elif MARKED not in label:  # the bar has told it
            self._show(label, done, total)

    def _show(self, label: str, done: float, total: float | None) -> None:
        found = read_label(label)
        lane, what = _lane(found.work)
        if self.shown.get(lane, ("",))[0] != what:
            self._remove(lane)
            self._remove("")
            if what:
                self.shown[lane] = (what, self.bars.add_task("", total=total))
        if what:
            name = f"{lane}: {found.detail}" if lane and found.detail else found.detail or found.work
            words = plain(name).plain
            if found.detail:
                words = _cut(words, self.bars.console.width - BESIDE)
            task = self.shown[lane][1]
            self.bars.update(task, description=words, completed=done, total=total, detail=found.detail, left=found.left)

    def _remove(self, lane: str) -> None:
        if lane in self.shown:
            self.bars.remove_task(self.shown.pop(lane)[1])


class _Lines:
    """A line when a label is done, with the time it took from a second on; each of several works has its own clock.

    What has no end is named once it has lasted a while, so that nobody takes it for a standstill. That a work is over is said by
    whoever knows how it came out.
    """

    def __init__(self) -> None:
        self.works: dict[str, tuple[str, float]] = {}
        self.waiting: dict[str, threading.Timer] = {}

    def __call__(self, label: str, done: float, total: float | None) -> None:
        if SAID in label:
            warn(label.replace(SAID, ""))
        elif MARKED in label:
            note(label.replace(MARKED, ""))
        else:
            self._follow(read_label(label).work, done, total)

    def _follow(self, label: str, done: float, total: float | None) -> None:
        now = time.monotonic()
        lane, what = _lane(label)
        if self.works.get(lane, ("",))[0] != what:
            self.works[lane] = (what, now)
            self._wait(lane, label, total)
        if what and total is not None and done >= total:
            took = now - self.works.pop(lane)[1]
            note(f"{label}: done" + (f" in {took:.0f} s" if took >= 1 else ""))

    def _wait(self, lane: str, label: str, total: float | None) -> None:
        if lane in self.waiting:
            self.waiting.pop(lane).cancel()
        if total is None:
            self.waiting[lane] = threading.Timer(LASTS, note, (label,))
            self.waiting[lane].daemon = True
            self.waiting[lane].start()

    def stop(self) -> None:
        for waiting in self.waiting.values():
            waiting.cancel()
