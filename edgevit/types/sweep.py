"""Settings of a training that are searched: between what, by which rules, what was tried, and how each trial came out."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgevit.types.model import require
from edgevit.types.train import TrainConfig

SWEPT = ("sweep.json", "sweep.md", "sweep.html")
"""The report of a search, in the folder of the run that it ended in: for programs, as text, as a page."""

Value = bool | int | float | str
"""Of a setting, as a user writes it: an image size is text, 224 or 192x256."""

IMPORTANT = 20
"""Trials that came to their end, from which the importance of settings is computed: of fewer, it is chance."""


def option_name(name: str) -> str:
    """A field of TrainConfig as the command line calls it."""
    return {"start": "from"}.get(name, name.replace("_", "-"))


def value_in_words(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def in_words(settings: Mapping[str, Value]) -> str:
    """ "lr 0.001, batch 64"."""
    return ", ".join(f"{option_name(name)} {value_in_words(value)}" for name, value in settings.items())


class Ending(enum.StrEnum):
    """How a trial came out. All but OPEN are results: none is done again.

    DONE: trained to the end. PRUNED: stopped between epochs, below the median of those before it. DIVERGED: its loss was no
    longer a number. NO_MEMORY: its process was out of memory, or killed as if it were. FAILED: its settings do not go together,
    or its process stopped otherwise. OPEN: begun, and not ended.
    """

    DONE = "DONE"
    PRUNED = "PRUNED"
    DIVERGED = "DIVERGED"
    NO_MEMORY = "NO_MEMORY"
    FAILED = "FAILED"
    OPEN = "OPEN"


@dataclass(frozen=True)
class Searched:
    """One setting that is searched: among `values`, or between `low` and `high`.

    A range is even in its logarithm where `log`, and of integers where `whole`.
    """

    name: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def ranged(self) -> bool:
        return not self.values

    @property
    def between(self) -> str:
        """ "0.0001 to 0.01, even in the logarithm", or "32, 64, 128"."""
        if not self.ranged:
            return ", ".join(map(value_in_words, self.values))
        scale = "even in the logarithm" if self.log else "even"
        return f"{self.low:g} to {self.high:g}, {scale}{', whole numbers' if self.whole else ''}"


@dataclass(frozen=True)
class SweepRules:
    """How a space is searched: `trials` points of it, all of a `grid` or what a sampler proposes, drawn by `seed`."""

    trials: int
    grid: bool
    seed: int
    prune: bool

    def __post_init__(self) -> None:
        require(1 <= self.trials <= 10_000, f"a search has 1 to 10000 trials, not {self.trials}")


@dataclass(frozen=True)
class Trial:
    """One training with settings from the space, judged on a part of the training images.

    `top1` is a fraction of those, of its best epoch, None where it has no such figure; `epochs` has it epoch by epoch. `attempts`
    counts how often it was begun: one whose process was killed is begun anew. `where` is the host that ended it.
    """

    number: int
    settings: dict[str, Value]
    ending: Ending = Ending.OPEN
    top1: float | None = None
    epochs: tuple[float, ...] = ()
    seconds: float | None = None
    why: str = ""
    attempts: int = 1
    where: str = ""


@dataclass(frozen=True)
class Sweep:
    """A search and all its trials, by number. `train` holds the settings that all of them share.

    `judged_on` counts the images that the trials were judged on, `low` and `high` are the 95 % interval of the best on them, and
    `near` counts the others that lie within it; `importance` is the share of each setting in what makes trials
    good (PED-ANOVA), empty where too few were finished; `final_top1` is that on the held-out images of a model with the `best`
    settings that was trained on everything else, None where none was.
    """

    name: str
    train: TrainConfig
    space: tuple[Searched, ...]
    rules: SweepRules
    trials: tuple[Trial, ...]
    best: int | None = None
    judged_on: int = 0
    low: float | None = None
    high: float | None = None
    near: int = 0
    importance: dict[str, float] = field(default_factory=dict)
    final_top1: float | None = None
    command: str = ""
    again: str = ""
    """The command that trains with the best settings."""
    made: str = ""
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """The best that came to its end, of equal ones the first."""
    done = [trial for trial in trials if trial.ending is Ending.DONE and trial.top1 is not None]
    return max(done, key=lambda trial: (trial.top1, -trial.number), default=None)


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """The best first; then those that did not come to their end, by how far they came."""
    return sorted(trials, key=lambda t: (-1.0 if t.top1 is None else t.top1, len(t.epochs), -t.number), reverse=True)
