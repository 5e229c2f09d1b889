"""The typer application, and how an error becomes one line and an exit code."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

import edgevit
from edgevit.cli import console
from edgevit.errors import EdgevitError, from_os_error

ORDER = (
    "demo", "run", "diff", "plan",
    "shards", "import", "train", "pretrain", "curves", "eval", "explain", "quantize", "export", "inspect", "check", "runtimes",
    "verify",
    "parity", "bisect", "bundle", "devices", "bench",
    "profile", "gains", "report", "predict", "export-weights", "models", "targets", "recipes", "doctor", "cache",
)  # fmt: skip
"""The commands as --help lists them: the way through the house, then what there is to look up."""


class InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=ORDER.index)


app = typer.Typer(
    cls=InOrder,
    help="A folder of labelled images to a Vision Transformer on a phone, with proof that it still answers right.",
    epilog="Exit codes: 0 all held, 1 a check or budget broken, 2 misuse or bad input.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


class Terminated(KeyboardInterrupt):
    """SIGTERM, as `timeout` and a cancelled build send it: an end in order, as by Ctrl-C, and no temporary folder stays."""


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the tidying up
    raise Terminated


def exit_code(stop: KeyboardInterrupt) -> int:
    """As shells say it: 128 and the number of the signal."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose errors of ours end in one message and their exit code, without a traceback."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except EdgevitError as error:
            console.error(error)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            console.error(from_os_error(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt as stop:
            console.note("stopped")
            raise typer.Exit(exit_code(stop)) from None

    return app.command()(guarded)


@app.callback(invoke_without_command=True)
def _with_version(version: bool = typer.Option(False, "--version", help="Show the version and leave.")) -> None:
    if version:
        console.out(edgevit.__version__)
        raise typer.Exit


def main() -> None:
    from edgevit.cli import (  # noqa: F401  (they register)
        bench,
        curves,
        device,
        inside,
        learn,
        look,
        measure,
        mix,
        plan,
        road,
        shards,
        show,
        weights,
        work,
    )  # fmt: skip

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    app(prog_name="edgevit")
