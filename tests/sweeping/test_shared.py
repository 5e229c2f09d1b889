"""A study that several processes share: no trial is lost, none is done twice, and what others wrote is not trusted."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("optuna")

import optuna

from edgevit.errors import BadInput, DamagedFile, NotInstalled
from edgevit.pipeline import sweep_rules
from edgevit.sweeping import opening, owner, shared, space, storage
from edgevit.sweeping.book import Begun
from edgevit.sweeping.opening import Opened, Said
from edgevit.sweeping.shared import Shared
from edgevit.types import Ending, TrainConfig

TRAIN = TrainConfig(data="digits")
TEXTS = ("lr=1e-4..1e-2", "batch=8..64", "mirror=true,false")
STORAGES = ("sqlite:///{}/study.db", "journal:{}/study.journal")


def _said(texts: tuple[str, ...] = TEXTS, trials: int | None = 6, grid: bool = False, **changes: object) -> Said:
    train = dataclasses.replace(TRAIN, **changes)  # type: ignore[arg-type]
    searched = space.read(texts, train)
    return Said(train, searched, sweep_rules(train, searched, trials, grid, True))


@pytest.fixture(params=STORAGES, ids=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param.format(tmp_path)


def _value(begun: Begun) -> float:
    return 1 - abs(float(begun.settings.get("lr", 0)) - 0.003)


def _do(book: Shared, most: int = 99) -> list[Begun]:
    """Trials in turn; what they are worth follows from their settings."""
    done: list[Begun] = []
    while len(done) < most and (begun := book.take()):
        with book.held(begun):
            assert not book.epoch(begun, 1, 0.5)
        book.end(begun, Ending.DONE, _value(begun), 1.0, "")
        done.append(begun)
    return done


def test_trials_are_counted_kept_and_told(url: str) -> None:
    book = opening.opened(url, "study", _said()).trials
    done = _do(book)
    assert [begun.number for begun in done] == [1, 2, 3, 4, 5, 6] and book.others() == 0
    told = book.trials()
    assert [trial.settings for trial in told] == [begun.settings for begun in done]
    assert [trial.top1 for trial in told] == [_value(begun) for begun in done]
    assert {(t.ending, t.epochs, t.seconds, t.attempts, t.where) for t in told} == {
        (Ending.DONE, (0.5,), 1.0, 1, owner.host())
    }  # fmt: skip


def test_a_search_that_goes_on_proposes_what_it_would_have_proposed(tmp_path: Path) -> None:
    """A process anew for every trial, one of them killed in between: the same trials as in one go."""
    url = f"journal:{tmp_path}/pieces"
    whole = [begun.settings for begun in _do(opening.opened(f"journal:{tmp_path}/whole", "study", _said(trials=14)).trials)]
    assert len({json.dumps(settings) for settings in whole}) == 14
    pieces = _do(opening.opened(url, "study", _said(trials=14)).trials, 4)
    lost = opening.opened(url, "study", _said(trials=14)).trials
    taken = lost.take()
    assert taken and lost.others() == 1
    lost.give_back(taken)
    while more := _do(opening.opened(url, "study", _said(trials=14)).trials, 1):
        pieces += more
    assert [begun.settings for begun in pieces] == whole
    assert [trial.attempts for trial in opening.opened(url, "study", None).trials.trials()].count(2) == 1


def test_every_ending_is_a_result(tmp_path: Path) -> None:
    url = f"journal:{tmp_path}/study"
    book = opening.opened(url, "study", _said(trials=5)).trials
    for ending in (Ending.PRUNED, Ending.DIVERGED, Ending.NO_MEMORY, Ending.FAILED):
        begun = book.take()
        assert begun
        if ending is Ending.PRUNED:
            book.epoch(begun, 1, 0.25)
        book.end(begun, ending, None, 2.5, f"it was {ending}")
    _do(book)
    assert book.take() is None
    told = book.trials()
    assert [trial.ending for trial in told] == [Ending.PRUNED, Ending.DIVERGED, Ending.NO_MEMORY, Ending.FAILED, Ending.DONE]
    assert [trial.top1 is None for trial in told] == [True] * 4 + [False] and told[0].epochs == (0.25,)
    assert told[1].why == "it was DIVERGED" and told[1].seconds == 2.5


def test_one_below_the_median_is_pruned_once_there_is_one(tmp_path: Path) -> None:
    url = f"journal:{tmp_path}/study"
    book = opening.opened(url, "study", _said(trials=8)).trials
    for height in (0.5, 0.6, 0.7, 0.8, 0.9):
        begun = book.take()
        assert begun
        assert not any(book.epoch(begun, epoch, height * epoch / 4) for epoch in range(1, 5))
        book.end(begun, Ending.DONE, height, 1.0, "")
    worse = book.take()
    assert worse and [book.epoch(worse, epoch, 0.1) for epoch in (1, 2, 3)] == [False, False, True]
    better = opening.opened(url, "study", _said(trials=8)).trials
    good = better.take()
    assert good and not any(better.epoch(good, epoch, 0.9) for epoch in range(1, 5))


def test_a_grid_is_tried_whole(tmp_path: Path) -> None:
    url = f"journal:{tmp_path}/study"
    said = _said(("batch=8,16", "augment=none,light,photo"), None, True)
    first = _do(opening.opened(url, "study", said).trials, 2)
    found = first + _do(opening.opened(url, "study", said).trials)
    assert [begun.settings for begun in found] == list(space.grid(said.space))


@pytest.mark.parametrize("when", ["drawn", "not drawn"])
def test_one_whose_process_died_is_begun_anew_with_the_same_settings(
    url: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where that was on this machine; on another after a while without a sign of life."""
    monkeypatch.setattr(owner, "_place", lambda: "another machine")
    with monkeypatch.context() as patch:
        if when == "not drawn":
            patch.setattr(Shared, "_drawn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                opening.opened(url, "study", _said(trials=1)).trials.take()
            left = None
        else:
            left = opening.opened(url, "study", _said(trials=1)).trials.take()
    monkeypatch.setattr(owner, "_place", lambda: "this machine")
    book = opening.opened(url, "study", _said(trials=1)).trials
    assert book.take() is None and book.others() == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + shared.GRACE / 2)
    assert book.take() is None
    monkeypatch.setattr(time, "monotonic", lambda: now + shared.GRACE + 1)
    again = book.take()
    assert again and again.number == 1 and (left is None or again.settings == left.settings)
    book.end(again, Ending.DONE, 0.5, 1.0, "")
    assert [(trial.attempts, trial.top1) for trial in book.trials()] == [(2, 0.5)]


def test_whoever_was_held_for_dead_learns_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept: its trial is another's by now, and what it has to say of it is not heard."""
    monkeypatch.setattr(shared, "BEAT", 0.05)
    asleep = opening.opened(url, "study", _said(trials=2)).trials
    mine = asleep.take()
    assert mine
    monkeypatch.setattr(owner.Seen, "dead", lambda *_: True)
    other = opening.opened(url, "study", _said(trials=2)).trials
    theirs = other.take()
    assert theirs and theirs.number == mine.number and theirs.settings == mine.settings
    with asleep.held(mine):
        assert mine.lost.wait(20)
    assert asleep.epoch(mine, 1, 0.5)
    asleep.end(mine, Ending.DONE, 0.1, 1.0, "")
    other.end(theirs, Ending.DONE, 0.9, 1.0, "")
    assert [(trial.top1, trial.attempts) for trial in other.trials()] == [(0.9, 2)]


WORKER = """
import sys, time
from edgevit.sweeping import opening
from edgevit.types import Ending
book = opening.opened(sys.argv[1], "study", None).trials
print("ready", flush=True)
sys.stdin.readline()
while True:
    begun = book.take()
    if begun is None:
        if not book.others():
            break
        time.sleep(0.05)
        continue
    print("begun", begun.number, flush=True)
    with book.held(begun):
        time.sleep(float(sys.argv[2]))
    book.end(begun, Ending.DONE, begun.number / 100, 0.0, "")
    print("ended", begun.number, flush=True)
"""


@pytest.fixture
def workers() -> Callable[..., list[subprocess.Popen[str]]]:
    """Processes that wait for a line to begin at once."""

    def start(url: str, count: int, seconds: float) -> list[subprocess.Popen[str]]:
        found = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, url, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]
        for one in found:
            assert one.stdout and one.stdout.readline() == "ready\n"
        for one in found:
            assert one.stdin
            one.stdin.write("go\n")
            one.stdin.flush()
        return found

    return start


def test_processes_share_and_do_nothing_twice(url: str, workers: Callable[..., list[subprocess.Popen[str]]]) -> None:
    opening.opened(url, "study", _said(trials=9))
    said = [one.communicate(timeout=120)[0].splitlines() for one in workers(url, 3, 0.02)]
    begun = Counter(line for lines in said for line in lines if line.startswith("begun"))
    assert begun == Counter(f"begun {number}" for number in range(1, 10))
    assert sum(any(line.startswith("begun") for line in lines) for lines in said) >= 2, "one process did it all"
    told = opening.opened(url, "study", None).trials.trials()
    assert [trial.top1 for trial in told] == [number / 100 for number in range(1, 10)]
    assert len({json.dumps(trial.settings) for trial in told}) == 9


def test_a_killed_process_costs_no_trial(url: str, workers: Callable[..., list[subprocess.Popen[str]]]) -> None:
    """`kill -9` in a trial; one of the other processes takes it up at its next trial, and none waits for what is dead."""
    opening.opened(url, "study", _said(trials=5))
    killed, *others = workers(url, 3, 0.3)
    assert killed.stdout
    first = killed.stdout.readline().strip()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    lines = [line for one in others for line in one.communicate(timeout=120)[0].splitlines() if line.startswith("begun")]
    assert first in lines and Counter(lines) == Counter(f"begun {number}" for number in range(1, 6))
    told = opening.opened(url, "study", None).trials.trials()
    assert [(trial.ending, trial.attempts) for trial in told] == [
        (Ending.DONE, 2 if f"begun {trial.number}" == first else 1) for trial in told
    ]  # fmt: skip


def test_the_training_at_the_end_is_done_by_one(url: str) -> None:
    found: list[Opened] = [opening.opened(url, "study", _said()) for _ in range(3)]
    taken = [one.final.take() for one in found]
    assert [begun is not None for begun in taken] == [True, False, False]
    assert taken[0] and taken[0].settings == {} and found[1].final.others() == 1
    found[0].final.give_back(taken[0])
    again = found[1].final.take()
    assert again
    found[1].final.end(again, Ending.DONE, 0.9, 1.0, "")
    assert found[2].final.take() is None and [trial.top1 for trial in found[2].final.trials()] == [0.9]
    assert found[2].trials.trials() == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (_said(weight_decay=0.1), "weight-decay is not said there, and 0.1 here"),
        (_said(("lr=1e-5..1e-2", *TEXTS[1:])), "lr: 0.0001 to 0.01, even in the logarithm there, and 1e-05 to 0.01"),
        (_said((*TEXTS, "ema=0,0.9")), "ema: not searched there, and 0, 0.9 here"),
        (_said(TEXTS[::-1]), "its settings stand in the order lr, batch, mirror"),
        (_said(seed=1), "seed is 0 there, and 1 here"),
        (dataclasses.replace(_said(), rules=dataclasses.replace(_said().rules, prune=False)), "pruned is True there, and False"),
    ],
)
def test_who_searches_something_else_is_refused(changed: Said, said: str, tmp_path: Path) -> None:
    url = f"journal:{tmp_path}/study"
    opening.opened(url, "study", _said())
    with pytest.raises(BadInput) as error:
        opening.opened(url, "study", changed)
    assert "searches something else" in error.value.message and said in error.value.message
    opening.opened(url, "another", changed)


def test_more_trials_make_it_longer_and_another_device_is_no_matter(tmp_path: Path) -> None:
    url = f"journal:{tmp_path}/study"
    assert len(_do(opening.opened(url, "study", _said(trials=2)).trials)) == 2
    assert len(_do(opening.opened(url, "study", _said(trials=5, device="cpu")).trials)) == 3
    assert opening.opened(url, "study", _said(trials=2)).said.rules.trials == 5


def test_where_nothing_was_begun_nothing_goes_on(url: str) -> None:
    with pytest.raises(BadInput, match="no search was begun there"):
        opening.opened(url, "study", None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://localhost", "no storage of a search"),
        ("sweep.db", "no storage of a search"),
        ("sqlite://", "a storage without a file"),
        ("sqlite:///:memory:", "a storage without a file"),
        ("journal:", "a storage without a file"),
        ("journal:no/such/folder/file", "no such folder"),
        ("journal:/tmp", "a folder, and no file"),
        ("postgresql://me:secret@nowhere.invalid/x", "secret"),
    ],
)
def test_what_is_no_storage(url: str, said: str) -> None:
    with pytest.raises((BadInput, NotInstalled)) as error:
        opening.opened(url, "study", _said())
    whole = f"{error.value.message} {error.value.hint}"
    assert said not in whole if said == "secret" else said in whole


def test_a_password_is_not_shown() -> None:
    shown = storage.hidden("edgevit train --storage postgresql+psycopg2://me:s3:cr@t@host/db --out a@b")
    assert storage.hidden("postgresql:///db?user=me&password=s3cret&x=1") == "postgresql:///db?user=me&password=***&x=1"
    assert shown == "edgevit train --storage postgresql+psycopg2://me:***@host/db --out a@b"


@pytest.mark.parametrize("content", [b"\x80\x04pickle\n", b'{"op_code":99,"worker_id":"x"}\n', b"[]\n"])
@pytest.mark.parametrize("kind", ["sqlite:///", "journal:"])
def test_a_file_of_others_is_an_error_and_no_traceback(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadInput, match="cannot be used"):
        opening.opened(f"{kind}{tmp_path}/file", "study", _said())


def test_a_study_of_others_is_refused(url: str) -> None:
    made = optuna.create_study(storage=opening._storage(url), study_name="study", direction="maximize")
    made.optimize(lambda trial: trial.suggest_float("lr", 0, 1), 1)
    with pytest.raises(DamagedFile, match="none of edgevit's"):
        opening.opened(url, "study", _said())


@pytest.mark.parametrize(
    "mark",
    [
        "text", {}, {"attempt": "1"}, {"attempt": 1, "trial": -1, "token": ""}, {"attempt": 1 << 40, "token": ""},
        {"attempt": 1, "trial": [0], "token": ""},
    ],
)  # fmt: skip
def test_a_record_of_others_in_the_study_is_refused(mark: object, tmp_path: Path) -> None:
    book = opening.opened(f"journal:{tmp_path}/study", "study", _said()).trials
    book._study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={shared.MARK: mark}))
    with pytest.raises(DamagedFile, match="none of edgevit's"):
        book.take()


def test_settings_that_somebody_put_into_a_trial_are_not_tried(tmp_path: Path) -> None:
    book = opening.opened(f"journal:{tmp_path}/study", "study", _said(trials=1)).trials
    wide = {**book._kinds, "lr": optuna.distributions.FloatDistribution(1e-4, 90, log=True)}
    record = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING, params={"lr": 50.0, "batch": 8, "mirror": True}, distributions=wide,
        user_attrs={shared.MARK: {"attempt": 1, "token": "x"}, shared.OWNER: {"place": owner._place(), "pid": 1 << 30}},
    )  # fmt: skip
    book._study.add_trial(record)
    with pytest.raises(BadInput, match="lr"):
        book.take()


def test_a_storage_that_is_away_for_a_while_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = opening.opened(f"sqlite:///{tmp_path}/study.db", "study", _said(trials=1)).trials
    begun = book.take()
    assert begun
    note, away, waited = book._storage.set_trial_user_attr, [1, 2, 3], []

    def now_and_then(*arguments: object) -> None:
        if away:
            away.pop()
            raise optuna.exceptions.StorageInternalError("server closed the connection")
        note(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(book._storage, "set_trial_user_attr", now_and_then)
    monkeypatch.setattr(storage.time, "sleep", waited.append)
    book.end(begun, Ending.DONE, 0.5, 1.0, "")
    assert waited == [storage.PAUSE] * 3 and [trial.top1 for trial in book.trials()] == [0.5]
    away.extend(range(99))
    monkeypatch.setattr(storage, "AWAY", -1.0)
    with pytest.raises(BadInput, match="server closed the connection"):
        book.end(begun, Ending.DONE, 0.5, 1.0, "")


def test_importance_is_told_of_many_trials_only(tmp_path: Path) -> None:
    few = opening.opened(f"journal:{tmp_path}/study", "study", _said(trials=19)).trials
    _do(few)
    assert few.importance() == {}
    many = opening.opened(f"journal:{tmp_path}/study", "study", _said(trials=20)).trials
    _do(many)
    assert many.importance().keys() == {"lr", "batch", "mirror"} and sum(many.importance().values()) == pytest.approx(1)


def test_nothing_of_the_library_that_unpickles_is_loaded(url: str) -> None:
    """Optuna unpickles in its sampler CMA-ES and in journals that keep snapshots: neither is there."""
    with pytest.MonkeyPatch.context() as patch:
        import pickle

        patch.setattr(pickle, "loads", lambda *_: pytest.fail("something was unpickled"))
        patch.setattr(pickle, "load", lambda *_: pytest.fail("something was unpickled"))
        _do(opening.opened(url, "study", _said()).trials, 3)
        assert len(_do(opening.opened(url, "study", None).trials)) == 3
