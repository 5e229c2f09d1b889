"""`edgevit train --search`: what is asked of a search, what is said of each trial, and the table of all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgevit.cli import console
from edgevit.cli.app import exit_code
from edgevit.cli.bench import command_line
from edgevit.errors import BadInput
from edgevit.types import Ending, Sweep, Trial, in_words
from edgevit.types.sweep import best_trial, ranked

if TYPE_CHECKING:
    from edgevit.pipeline import SweepAsked

STORAGE = "EDGEVIT_STORAGE"
"""Of the environment: a storage whose password should not stand on a command line."""
COLUMNS = ("rank", "trial", "top-1", "settings", "seconds", "came out")
SHOWN = 30
"""Rows of the table in a terminal; the report has all."""


@dataclass(frozen=True)
class Wanted:
    """The options of a search."""

    search: tuple[str, ...]
    trials: int | None
    grid: bool
    storage: str | None
    study: str | None
    prune: bool
    final: bool


def begins(wanted: Wanted, rates: Sequence[float], out: Path, resume: bool) -> bool:
    """Whether the command is a search: by --search, or by one that --resume finds beside --out. Raises BadInput."""
    from edgevit import pipeline

    if wanted.search and rates:
        raise BadInput("--lr-grid is a search of its own", "--search lr=0.001,0.003 is the same among others")
    if wanted.search:
        return True
    if resume and pipeline.sweep_begun(out):
        return True
    said = {
        "--trials": wanted.trials, "--grid": wanted.grid, "--storage": wanted.storage, "--study": wanted.study,
        "--no-prune": not wanted.prune, "--no-final": not wanted.final,
    }  # fmt: skip
    if idle := [name for name, value in said.items() if value]:
        raise BadInput(f"nothing to search, and {', '.join(idle)}", "--search lr=1e-4..1e-2 says what to search")
    return False


def run(given: Mapping[str, Any], wanted: Wanted, out: Path, resume: bool, force: bool, json: bool) -> None:
    from edgevit import pipeline

    asked = _asked(given, wanted) if wanted.search else None
    if asked is None and given:
        raise BadInput("--resume takes the settings of the search", f"leave out {', '.join(sorted(given))}")
    try:
        with console.progress() as progress:
            found = pipeline.sweep(asked, out, force, resume, progress, _tell)
    except KeyboardInterrupt as stop:
        console.note(f"stopped; trials that have ended are kept, and it goes on with: {_goes_on(wanted, out)}")
        raise typer.Exit(exit_code(stop)) from None
    if json:
        console.json(found)
        return
    _show(found, out)


def _asked(given: Mapping[str, Any], wanted: Wanted) -> SweepAsked:
    from edgevit import pipeline

    if "data" not in given:
        raise BadInput("nothing to train on", "--data takes a built-in name (digits) or a path")
    train = pipeline.settings(given)
    space = pipeline.sweep_space(wanted.search, train)
    rules = pipeline.sweep_rules(train, space, wanted.trials, wanted.grid, wanted.prune)
    storage = wanted.storage or os.environ.get(STORAGE) or None
    return pipeline.SweepAsked(train, space, rules, storage, wanted.study, wanted.final, command_line())


def _goes_on(wanted: Wanted, out: Path) -> str:
    shared = wanted.storage or os.environ.get(STORAGE)
    return "the same command" + ("" if shared else f", or edgevit train --resume --out {out}")


def _tell(trial: Trial, trials: tuple[Trial, ...]) -> None:
    best = best_trial(trials)
    so_far = "" if best is None or best.number == trial.number else f" (best: {_percent(best)}, trial {best.number})"
    console.note(f"trial {trial.number}: {in_words(trial.settings)}: {outcome(trial)}{so_far}")


def outcome(trial: Trial) -> str:
    """ "top-1 95.83 %", "PRUNED after 3 epochs at 40.21 %", "DIVERGED: why"."""
    if trial.ending is Ending.DONE:
        return f"top-1 {_percent(trial)}"
    if trial.ending is Ending.PRUNED and trial.epochs:
        return f"PRUNED after {len(trial.epochs)} epochs at {100 * trial.epochs[-1]:.2f} %"
    return f"{trial.ending.value}: {trial.why}" if trial.why else trial.ending.value


def _percent(trial: Trial) -> str:
    return "none" if trial.top1 is None else f"{100 * trial.top1:.2f} %"


def rows(trials: Sequence[Trial]) -> list[list[str]]:
    return [
        [str(rank), str(t.number), _percent(t), in_words(t.settings), "" if t.seconds is None else f"{t.seconds:.1f}", _words(t)]
        for rank, t in enumerate(ranked(trials)[:SHOWN], start=1)
    ]  # fmt: skip


def _words(trial: Trial) -> str:
    begun = f"; begun {trial.attempts} times" if trial.attempts > 1 else ""
    done = trial.why or trial.ending.value
    return f"{done if trial.ending is Ending.DONE else outcome(trial)}{begun}"


def _show(found: Sweep, out: Path) -> None:
    console.table(f"{len(found.trials)} trials, judged on a part of the training images", COLUMNS, rows(found.trials))
    if len(found.trials) > SHOWN:
        console.note(f"and {len(found.trials) - SHOWN} more in the report")
    for line in notes(found):
        console.note(line)
    if found.final_top1 is not None:
        where = out if found.made else "elsewhere"
        console.out(f"{where}: trained with the settings of trial {found.best}: top-1 {100 * found.final_top1:.2f} % held-out")
    elif not found.made:
        console.note("another process trains with the best settings, and writes the report where it does")
    if found.made:
        console.out(str(out / "sweep.html"))
    console.note(f"\nthe best again: {found.again}")


def notes(found: Sweep) -> list[str]:
    lines = []
    if found.low is not None and found.high is not None:
        between = f"{100 * found.low:.1f} to {100 * found.high:.1f} %"
        lines.append(f"judged on {found.judged_on} images: the 95 % interval of the best is {between}")
        if found.near:
            others = "1 other lies" if found.near == 1 else f"{found.near} others lie"
            lines.append(f"{others} within it: so many images do not tell them from the best")
    return lines
