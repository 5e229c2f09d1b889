"""A book in a study of Optuna, at which several processes and machines can be at work. The one seam to that library.

No trial is done twice, whatever the storage: whoever begins one adds a record to the study, which every storage does in one step
and in one order for all, and then reads what stands before its own. Trials that are begun first have the numbers of their order;
one that is begun anew says of which trial and which attempt it is, and the first to say so has it. A record that came too late is
marked FAIL, as one that was given back is; DONE is Optuna's COMPLETE, and every other ending its PRUNED, so that the sampler
learns from it. Whoever does a trial writes now and then that it lives.

Optuna keeps all of this as JSON. What would be unpickled in it are the states of its sampler CMA-ES and the snapshots of its
journals in Redis: neither is used here.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from edgevit.errors import DamagedFile, EdgevitError
from edgevit.sweeping import owner, space
from edgevit.sweeping.book import Begun
from edgevit.sweeping.storage import asked_of, patiently
from edgevit.types import Ending, Searched, SweepRules, Trial, Value
from edgevit.types.sweep import IMPORTANT

BEAT = 15.0
"""Seconds between two signs of life."""
GRACE = 60.0
"""Seconds without one, after which a trial of another machine is begun anew."""
FIRST = 5
"""Trials that are trained to the end before one is pruned."""
EPOCHS = 3
"""The first epoch after which a trial may be pruned: in those before, the learning rate warms up."""
MARK, OWNER, ENDED = "edgevit", "edgevit at work", "edgevit ended"
"""What stands at a record: of which trial and attempt it is, who does it, how it ended."""


class Shared:
    """`points` are those of a grid, in order; None where a sampler proposes them."""

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        where: str,
        searched: tuple[Searched, ...],
        rules: SweepRules,
        points: Sequence[dict[str, Value]] | None,
    ) -> None:
        self._study, self._storage, self._where = study, storage, where
        self._space, self._rules, self._points = searched, rules, points
        self._kinds = {one.name: _distribution(one) for one in searched}
        self._pruner = MedianPruner(n_startup_trials=FIRST, n_warmup_steps=EPOCHS)
        self._seen = owner.Seen(GRACE)

    def take(self) -> Begun | None:
        return patiently(self._where, self._taken)

    def _taken(self) -> Begun | None:
        latest, fresh = _latest(self._read())
        for number, record in sorted(latest.items()):
            if number < self._rules.trials and self._free(record):
                begun = self._anew(number, record)
                if begun:
                    return begun
        return self._first() if fresh < self._rules.trials else None

    def _free(self, record: FrozenTrial) -> bool:
        if record.state is TrialState.RUNNING:
            return self._seen.dead(record.number, record.user_attrs.get(OWNER))
        return record.state is TrialState.FAIL

    def _first(self) -> Begun | None:
        """Begin a trial that nobody has begun. None where others began the last ones meanwhile."""
        token = self._add({"attempt": 1}, {}, {})
        latest, _ = _latest(self._read())
        number, record = next((n, record) for n, record in latest.items() if _mark(record)["token"] == token)
        if number >= self._rules.trials:
            self._study.tell(record.number, state=TrialState.FAIL)
            return None
        return self._begun(number, record)

    def _anew(self, number: int, before: FrozenTrial) -> Begun | None:
        """Begin a trial once more, with the settings that it had. None where another one is faster."""
        attempt = _mark(before)["attempt"] + 1
        whole = before.params.keys() == self._kinds.keys()
        token = self._add({"trial": number, "attempt": attempt}, *((before.params, self._kinds) if whole else ({}, {})))
        trials = self._read()
        mine = next(record for record in trials if _mark(record).get("token") == token)
        if _latest(trials)[0][number].number != mine.number:
            self._study.tell(mine.number, state=TrialState.FAIL)
            return None
        with contextlib.suppress(UpdateFinishedTrialError, ValueError):  # it was given back, or has ended just now
            self._study.tell(before.number, state=TrialState.FAIL)
        return self._begun(number, mine)

    def _add(self, mark: dict[str, Any], params: Mapping[str, Any], kinds: Mapping[str, BaseDistribution]) -> str:
        token = uuid.uuid4().hex
        notes = {MARK: {**mark, "token": token}, OWNER: owner.me(0)}
        record = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=dict(params), distributions=dict(kinds), user_attrs=notes
        )
        self._study.add_trial(record)
        return token

    def _begun(self, number: int, record: FrozenTrial) -> Begun:
        key = self._key(record.number)
        params = record.params if record.params.keys() == self._kinds.keys() else self._drawn(number, key)
        return Begun(number + 1, space.used(self._space, params), key)

    def _drawn(self, number: int, key: int) -> dict[str, Any]:
        """The settings of a trial that has none yet, noted in its record.

        The sampler is made anew for each, with a seed of the trial's own: so a search that goes on proposes what it would have
        proposed without a pause, and two processes never draw alike.
        """
        if self._points is not None:
            point = self._points[number]
            for name, value in point.items():
                self._storage.set_trial_param(key, name, self._kinds[name].to_internal_repr(value), self._kinds[name])
            return dict(point)
        sampler = TPESampler(seed=_seed(self._rules.seed, number))
        study = optuna.load_study(study_name=self._study.study_name, storage=self._storage, sampler=sampler)
        trial = optuna.trial.Trial(study, key)
        return {one.name: _suggested(trial, one) for one in self._space}

    def _key(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _read(self) -> list[FrozenTrial]:
        return [t for t in self._study.get_trials(deepcopy=False) if MARK in t.user_attrs]

    def others(self) -> int:
        latest = patiently(self._where, lambda: _latest(self._read())[0])
        return sum(r.state is TrialState.RUNNING for number, r in latest.items() if number < self._rules.trials)

    @contextlib.contextmanager
    def held(self, begun: Begun) -> Iterator[None]:
        done = threading.Event()
        beating = threading.Thread(target=self._beat, args=(begun, done), daemon=True)
        beating.start()
        try:
            yield
        finally:
            done.set()
            beating.join()

    def _beat(self, begun: Begun, done: threading.Event) -> None:
        count = 0
        while not done.wait(BEAT):
            count += 1
            try:
                self._storage.set_trial_user_attr(begun.key, OWNER, owner.me(count))
            except UpdateFinishedTrialError:
                begun.lost.set()
                break
            except Exception:  # a storage may be away for a while: the next beat tries again
                continue
        self._storage.remove_session()

    def epoch(self, begun: Begun, epoch: int, top1: float) -> bool:
        try:
            return patiently(self._where, lambda: self._noted(begun, epoch, top1))
        except Lost:
            begun.lost.set()
            return True

    def _noted(self, begun: Begun, epoch: int, top1: float) -> bool:
        with _still_ours():
            self._storage.set_trial_intermediate_value(begun.key, epoch, top1)
        return self._rules.prune and bool(self._pruner.prune(self._study, self._storage.get_trial(begun.key)))

    def end(self, begun: Begun, ending: Ending, top1: float | None, seconds: float, why: str) -> None:
        said = {"ending": ending.value, "seconds": seconds, "why": why, "where": owner.host()}
        try:
            patiently(self._where, lambda: self._closed(begun, said, top1 if ending is Ending.DONE else None))
        except Lost:
            begun.lost.set()

    def _closed(self, begun: Begun, said: dict[str, Any], top1: float | None) -> None:
        number = self._storage.get_trial(begun.key).number
        with _still_ours():
            self._storage.set_trial_user_attr(begun.key, ENDED, said)
            self._study.tell(number, top1, TrialState.PRUNED if top1 is None else None)

    def give_back(self, begun: Begun) -> None:
        with contextlib.suppress(Exception):  # whoever looks later sees that its process is gone
            self._study.tell(self._storage.get_trial(begun.key).number, state=TrialState.FAIL)

    def trials(self) -> tuple[Trial, ...]:
        latest = patiently(self._where, lambda: _latest(self._read())[0])
        return tuple(self._told(n, record) for n, record in sorted(latest.items()) if n < self._rules.trials)

    def _told(self, number: int, record: FrozenTrial) -> Trial:
        whole = record.params.keys() == self._kinds.keys()
        settings = space.used(self._space, record.params) if whole else {}
        ended = record.user_attrs.get(ENDED, {}) if record.state in (TrialState.COMPLETE, TrialState.PRUNED) else {}
        epochs = tuple(value for _, value in sorted(record.intermediate_values.items()) if math.isfinite(value))
        return _trial(number + 1, settings, ended, record.value, epochs, _mark(record)["attempt"])

    def importance(self) -> dict[str, float]:
        """Of each setting, of 1 in all; empty where there are too few trials or settings."""
        finished = sum(trial.ending is Ending.DONE for trial in self.trials())
        if finished < IMPORTANT or len(self._space) < 2:
            return {}
        with asked_of(self._where):
            found = optuna.importance.get_param_importances(self._study)
        return {name: float(share) for name, share in found.items() if math.isfinite(share)}


class Lost(EdgevitError):
    """A trial that another process has taken over."""


@contextlib.contextmanager
def _still_ours() -> Iterator[None]:
    """A record that has ended takes nothing more: then somebody held this process for dead."""
    try:
        yield
    except UpdateFinishedTrialError as error:
        raise Lost("another process has taken this trial over") from error


def _latest(records: Sequence[FrozenTrial]) -> tuple[dict[int, FrozenTrial], int]:
    """The last attempt at each trial by its number from 0, and how many trials there are; `records` in the order of all."""
    attempts: dict[tuple[int, int], FrozenTrial] = {}
    fresh = 0
    for record in records:
        mark = _mark(record)
        number, fresh = (mark["trial"], fresh) if "trial" in mark else (fresh, fresh + 1)
        attempts.setdefault((number, mark["attempt"]), record)
    return {number: record for (number, _), record in sorted(attempts.items(), key=lambda item: item[0])}, fresh


def _mark(record: FrozenTrial) -> dict[str, Any]:
    """Raises DamagedFile where another program wrote it."""
    mark: Any = record.user_attrs.get(MARK)
    numbers = [mark.get(name, 1) for name in ("trial", "attempt")] if isinstance(mark, dict) else []
    if not numbers or "attempt" not in mark or not all(isinstance(n, int) and 0 <= n < 1 << 20 for n in numbers):
        raise DamagedFile(f"record {record.number} of the study is none of edgevit's", "take a study of its own: --study NAME")
    return mark


def _trial(
    number: int, settings: dict[str, Value], ended: object, top1: float | None, epochs: tuple[float, ...], attempts: int
) -> Trial:
    """Raises DamagedFile where what is said of its end is not what `Shared.end` says."""
    if ended == {}:
        return Trial(number, settings, epochs=epochs, attempts=attempts)
    if not isinstance(ended, dict) or ended.get("ending") not in list(Ending):
        raise DamagedFile(f"trial {number} of the study has an end that is none of edgevit's")
    seconds, ending = ended.get("seconds"), Ending(ended["ending"])
    if ending is Ending.DONE and not (top1 is not None and 0 <= top1 <= 1):
        raise DamagedFile(f"trial {number} of the study has a top-1 that is none: {top1}")
    timed = float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else None
    why, where = (str(ended.get(name, ""))[:500] for name in ("why", "where"))
    return Trial(number, settings, ending, top1 if ending is Ending.DONE else None, epochs, timed, why, attempts, where)


def _distribution(one: Searched) -> BaseDistribution:
    if not one.ranged:
        return CategoricalDistribution(one.values)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)


def _suggested(trial: optuna.trial.Trial, one: Searched) -> Any:
    if not one.ranged:
        return trial.suggest_categorical(one.name, one.values)
    if one.whole:
        return trial.suggest_int(one.name, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(one.name, one.low, one.high, log=one.log)


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")
