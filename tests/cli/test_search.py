"""`train --search` from the command line: what is refused before any work, and real searches, shared, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgevit import checkpoint as checkpoints
from edgevit import record
from edgevit.cli import searching
from edgevit.types import Ending, Sweep, Trial

RunCli = Callable[..., subprocess.CompletedProcess[str]]
StartCli = Callable[..., subprocess.Popen[str]]
Sabotage = Callable[..., dict[str, str]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--storage", "sqlite:///x.db", "--no-prune"), "nothing to search, and --storage, --no-prune"),
        (("--search", "lr=1e-4..1e-2", "--lr-grid", "0.1,0.2"), "--lr-grid is a search of its own"),
        (("--search", "rate=1e-4..1e-2"), "unknown setting: rate"),
        (("--search", "batch=8,16", "--grid", "--trials", "1"), "a grid tries all its 2 points"),
        (("--search", "lr=1,2", "--storage", "redis://x"), "no storage of a search"),
        (("--search", "lr=1,2", "--resume"), "nothing to resume"),
    ],
)
def test_what_is_refused_before_any_work(options: tuple[str, ...], said: str, run_cli: RunCli, tmp_path: Path) -> None:
    found = run_cli("train", "--data", "digits", *options, "--out", tmp_path / "run", cwd=tmp_path)
    assert found.returncode == 2 and said in found.stderr and "Traceback" not in found.stderr
    assert os.listdir(tmp_path) == []


def test_a_library_that_is_absent_is_said_with_the_line_that_installs_it(
    run_cli: RunCli, sabotage: Sabotage, tmp_path: Path
) -> None:
    command = ("train", "--data", "digits", "--search", "lr=1,2", "--out", tmp_path / "run")
    found = run_cli(*command, env=sabotage(absent=("optuna",)))
    assert found.returncode == 1 and "a search needs what is not installed: optuna" in found.stderr
    assert "hint: pip install 'edgevit[sweep]'" in found.stderr and os.listdir(tmp_path) == []


def test_what_is_said_of_trials() -> None:
    done = Trial(1, {"lr": 0.001}, Ending.DONE, 0.95, seconds=2.0, attempts=2)
    pruned = Trial(2, {"lr": 0.1}, Ending.PRUNED, None, (0.1, 0.25), why="below the median")
    diverged = Trial(3, {"lr": 9.0}, Ending.DIVERGED, why="the loss is no longer a number")
    assert [searching.outcome(trial) for trial in (done, pruned, diverged, Trial(4, {}))] == [
        "top-1 95.00 %", "PRUNED after 2 epochs at 25.00 %", "DIVERGED: the loss is no longer a number", "OPEN",
    ]  # fmt: skip
    rows = searching.rows([diverged, pruned, done])
    assert [row[1] for row in rows] == ["1", "2", "3"] and rows[0] == [
        "1",
        "1",
        "95.00 %",
        "lr 0.001",
        "2.0",
        "DONE; begun 2 times",
    ]


SEARCH = ("--search", "lr=1e-4..3e-2", "--search", "batch=4,8", "--trials", "4", "--epochs", "2")


@pytest.fixture
def search(training: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Four trials of two epochs each on a few small images; --out is missing."""
    left = [word for word in training if word not in ("--batch", "8")]
    yield (*left, *SEARCH)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_search_killed_in_a_trial_goes_on_and_ends_as_if_it_never_was(
    search: tuple[str, ...], start_cli: StartCli, run_cli: RunCli, tmp_path: Path
) -> None:
    whole = run_cli(*search, "--out", tmp_path / "whole", "--json")
    assert whole.returncode == 0, whole.stderr
    killed = start_cli(*search, "--out", tmp_path / "run")
    journal = tmp_path / "run.sweep" / "study.journal"
    _until(lambda: journal.exists() and journal.read_text().count('"op_code":6') >= 1)  # a trial has ended
    time.sleep(0.5)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    found = run_cli("train", "--resume", "--out", tmp_path / "run", "--json")
    assert found.returncode == 0, found.stderr
    trials, others = (record.decode(ran.stdout, Sweep).trials for ran in (found, whole))
    assert [(trial.settings, trial.top1) for trial in trials] == [(trial.settings, trial.top1) for trial in others]
    assert {trial.ending for trial in trials} == {Ending.DONE} and sum(trial.attempts for trial in trials) == 5
    made = [checkpoints.read(tmp_path / name) for name in ("run", "whole")]
    assert made[0].weights_sha256 == made[1].weights_sha256 and made[0].train and len(made[0].train.tried) == 4
    assert sorted(os.listdir(tmp_path)) == ["run", "whole"]


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite:///study.db", "journal:study.journal"])
def test_two_processes_share_a_search_and_one_trains_at_the_end(
    storage: str, search: tuple[str, ...], start_cli: StartCli, run_cli: RunCli, tmp_path: Path
) -> None:
    command = (*search, "--storage", storage, "--out", "run", "--json")
    both = [start_cli(*command, cwd=tmp_path) for _ in range(2)]
    said = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    found = [record.decode(out, Sweep) for out, _ in said]
    begun = [line for _, err in said for line in err.splitlines() if line.startswith("trial") and ": epoch 1/2: loss" in line]
    assert sorted({line.split()[1] for line in begun}) == ["1", "2", "3", "4"] and len(begun) == 4
    assert sorted(bool(one.made) for one in found) == [False, True] and found[0].trials == found[1].trials
    whole = next(one for one in found if one.made)
    assert record.read(tmp_path / "run" / "sweep.json", Sweep) == whole and len(whole.trials) == 4
    assert checkpoints.read(tmp_path / "run").metrics["val_top1"] == whole.final_top1
    again = run_cli(*command, cwd=tmp_path)
    assert again.returncode == 0 and "epoch" not in again.stderr, "a search that is over was trained again"
    other = run_cli(*command[:-1], "--weight-decay", "0.2", cwd=tmp_path)
    assert other.returncode == 2 and "weight-decay is not said there, and 0.2 here" in other.stderr
    assert json.loads(again.stdout)["best"] == whole.best
