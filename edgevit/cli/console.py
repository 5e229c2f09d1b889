"""What people see: data on stdout, everything else on stderr; bars on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from edgevit import record
from edgevit.errors import EdgevitError
from edgevit.types import Progress

_out = Console(soft_wrap=True, highlight=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False)


def out(text: str) -> None:
    """A line of data."""
    _out.print(escape(text))


def note(text: str) -> None:
    """A line for the person who watches."""
    _err.print(escape(text))


def error(problem: EdgevitError) -> None:
    _err.print(f"[bold red]error:[/] {escape(problem.message)}")
    if problem.hint:
        _err.print(f"\n[bold]hint:[/] {escape(problem.hint)}")


def json(value: object) -> None:
    """`value` as JSON on stdout, for machines: never wrapped or coloured."""
    sys.stdout.write(record.encode(record.builtins(value)).decode())


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = Table(
        title=title,
        title_justify="left",
        title_style="bold",
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
    Console(highlight=False).print(shown)


def _coloured(cell: str) -> str:
    colour = {"PASS": "green", "SKIPPED": "yellow"}.get(cell, "bold red" if cell.isupper() and "_" in cell else "")
    return f"[{colour}]{escape(cell)}[/]" if colour else escape(cell)


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A Progress that shows one bar per label on a terminal, and elsewhere prints a line as each label ends."""
    if _err.is_terminal:
        with _bars() as bars:
            yield bars
    else:
        yield _Lines()


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with RichProgress(*columns, console=_err, transient=True) as bars:
        current: list[tuple[str, TaskID]] = []

        def show(label: str, done: float, total: float | None) -> None:
            if not current or current[0][0] != label:
                if current:
                    bars.remove_task(current.pop()[1])
                current.append((label, bars.add_task(escape(label), total=total)))
            bars.update(current[0][1], completed=done, total=total)

        yield show


class _Lines:
    """A line when a label begins that is not done within a moment, and the time it took when the next one begins."""

    def __init__(self) -> None:
        self.label, self.started = "", 0.0

    def __call__(self, label: str, done: float, total: float | None) -> None:
        now = time.monotonic()
        if label != self.label:
            self.label, self.started = label, now
        if total is not None and done >= total:
            took = now - self.started
            note(f"{label}: done" + (f" in {took:.0f} s" if took >= 1 else ""))
            self.label = ""
