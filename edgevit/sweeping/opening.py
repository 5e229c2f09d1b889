"""The study of a search: made by whoever comes first, with what it searches in it, and joined by all who search the same."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from edgevit import record
from edgevit.errors import BadInput, DamagedFile
from edgevit.sweeping import space
from edgevit.sweeping.shared import Shared
from edgevit.sweeping.storage import BUSY, JOURNAL, TRIES, again, asked_of, hidden, require
from edgevit.types import Searched, SweepRules, TrainConfig, option_name

SAID, TRIALS = "edgevit", "edgevit trials"
"""What stands at a study: all that is searched, and how many trials there are to be."""
FINAL = ", final"
"""Behind the name of a study: that of the one training that follows it."""
PATIENCE = 20.0
"""Seconds until a study that somebody made has to say what it searches."""


@dataclass(frozen=True)
class Said:
    """What every process at a study has to agree on, but for `final`: whether a training follows."""

    train: TrainConfig
    space: tuple[Searched, ...]
    rules: SweepRules
    final: bool = True


@dataclass(frozen=True)
class Opened:
    """The book of the trials, that of the training that follows them (its one trial), and what is searched."""

    trials: Shared
    final: Shared
    said: Said


def opened(url: str, name: str, said: Said | None) -> Opened:
    """The study `name` in the storage at `url`, made where there is none; without `said` it has to be there, and says it itself.

    More trials than it was begun with make it longer. Raises BadInput where it searches something else, DamagedFile where it is
    none of edgevit's.
    """
    require(url)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    where = f"{name} in {hidden(url)}"
    with asked_of(hidden(url)):
        storage = _storage(url)
        study = _study(storage, name, said)
        said = _agreed(study, where, said)
        ending = _made(storage, name + FINAL)[0]
    points = space.grid(said.space) if said.rules.grid else None
    once = dataclasses.replace(said.rules, trials=1, grid=True, prune=False)
    return Opened(
        Shared(study, storage, where, said.space, said.rules, points), Shared(ending, storage, where, (), once, ({},)), said
    )


def _storage(url: str) -> BaseStorage:
    if url.startswith(JOURNAL):
        return JournalStorage(JournalFileBackend(url.removeprefix(JOURNAL)))
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    written = url.replace("{", "{{").replace("}", "}}")  # Optuna takes a URL for a template
    for number in range(1, TRIES + 1):
        began = time.monotonic()
        try:
            return RDBStorage(written, engine_kwargs=options)
        except Exception as error:  # two who make the same tables: the second finds them at its next try
            again(number, time.monotonic() - began, error)
    raise AssertionError


def _made(storage: BaseStorage, name: str) -> tuple[optuna.Study, bool]:
    """The study, and whether this very process has made it."""
    try:
        return optuna.create_study(storage=storage, study_name=name, direction="maximize"), True
    except DuplicatedStudyError:
        return optuna.load_study(storage=storage, study_name=name), False


def _study(storage: BaseStorage, name: str, said: Said | None) -> optuna.Study:
    if said is None:
        try:
            return optuna.load_study(storage=storage, study_name=name)
        except KeyError:
            raise BadInput(f"no search was begun there: {name}", "begin it without --resume") from None
    study, first = _made(storage, name)
    if first:
        _say(study, said)
    return study


def _say(study: optuna.Study, said: Said) -> None:
    study.set_user_attr(TRIALS, said.rules.trials)
    study.set_user_attr(SAID, record.encode(said).decode())


def _agreed(study: optuna.Study, where: str, mine: Said | None) -> Said:
    """What is searched, which has to be what this process was asked for, but for the number of trials and the device."""
    began = time.monotonic()
    while SAID not in (found := study.user_attrs):
        if study.get_trials(deepcopy=False):
            raise DamagedFile(f"the study {where} is none of edgevit's", "take one of its own: --study NAME")
        if time.monotonic() - began > PATIENCE:  # whoever made it died before it said so
            if mine is None:
                raise BadInput(f"the search {where} never began", "begin it without --resume")
            _say(study, mine)
        time.sleep(0.2)
    theirs = _read(found, where)
    if mine and (other := _difference(theirs, mine)):
        raise BadInput(f"the study {where} searches something else: {other}", "say the same, or begin another one: --study NAME")
    trials = max(theirs.rules.trials, mine.rules.trials if mine else 0)
    if trials > theirs.rules.trials:
        study.set_user_attr(TRIALS, trials)
    rules = dataclasses.replace(theirs.rules, trials=trials)
    return Said(mine.train if mine else theirs.train, theirs.space, rules, (mine or theirs).final)


def _read(found: dict[str, Any], where: str) -> Said:
    try:
        said, trials = record.decode(found[SAID], Said), found[TRIALS]
        return dataclasses.replace(said, rules=dataclasses.replace(said.rules, trials=trials))
    except Exception as error:
        raise DamagedFile(f"the study {where} says nothing that edgevit wrote", "take one of its own: --study NAME") from error


def _difference(theirs: Said, mine: Said) -> str:
    """The first thing in which two disagree, in words; empty where they search the same."""
    for name in (f.name for f in dataclasses.fields(TrainConfig) if f.name != "device"):
        there, here = getattr(theirs.train, name), getattr(mine.train, name)
        if there != here:
            return f"{option_name(name)} is {_word(there)} there, and {_word(here)} here"
    spaces = [{one.name: one.between for one in said.space} for said in (theirs, mine)]
    for name in dict.fromkeys([*spaces[0], *spaces[1]]):
        there, here = (found.get(name, "not searched") for found in spaces)
        if there != here:
            return f"{option_name(name)}: {there} there, and {here} here"
    if list(spaces[0]) != list(spaces[1]):
        return f"its settings stand in the order {', '.join(spaces[0])}"
    for name, what in (("grid", "a grid"), ("prune", "pruned"), ("seed", "seed")):
        there, here = getattr(theirs.rules, name), getattr(mine.rules, name)
        if there != here:
            return f"{what} is {_word(there)} there, and {_word(here)} here"
    return ""


def _word(value: object) -> str:
    return "not said" if value is None else str(value)[:80]
