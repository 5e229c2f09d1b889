"""Ctrl-C, SIGTERM and `kill -9` at the worst moments: what was there stays whole, no process stays, and the work can go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

RunCli = Callable[..., subprocess.CompletedProcess[str]]
StartCli = Callable[..., subprocess.Popen[str]]
Sabotage = Callable[..., dict[str, str]]

STEP = "edgevit.training.optimiser:set_rate"
"""Called before each step of the optimiser; `training` has four of them in an epoch."""
SAVE = "edgevit.folder:_sync"
"""Called when a folder is written and not yet in its place."""


def _contents(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def _session(leader: int) -> list[int]:
    """The living processes of a session, orphans among them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(entry.name))
    return found


def _until(holds: Callable[[], bool], child: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert child is None or child.poll() is None, child.communicate()[1] if child else ""
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def stopped(start_cli: StartCli, sabotage: Sabotage, tmp_path: Path) -> Callable[..., str]:
    """Run until the moment `at` ("module:function:n"), send a signal to the program as a terminal or a stranger does, and wait.

    What was said is given back. No process may be left after that, nor a temporary file that somebody could have removed.
    """

    def stop(at: str, number: signal.Signals, *args: object) -> str:
        flag, scratch = tmp_path / "flag", tmp_path / "tmp"
        scratch.mkdir(exist_ok=True)
        child = start_cli(*args, env={**sabotage(f"{at}:pause", paused=flag), "TMPDIR": str(scratch)}, cwd=tmp_path)
        _until(flag.exists, child)
        assert int(flag.read_text()) in _session(child.pid)
        if number is signal.SIGINT:
            os.killpg(child.pid, number)  # a terminal sends it to all
        else:
            child.send_signal(number)
        _, said = child.communicate(timeout=60)
        assert child.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number), said
        _until(lambda: not _session(child.pid))
        if number is not signal.SIGKILL:
            assert os.listdir(scratch) == [] and "Traceback" not in said
        shutil.rmtree(scratch)
        flag.unlink()
        return said

    return stop


@pytest.fixture(scope="module")
def undisturbed(run_cli: RunCli, training: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What three epochs in one go leave, but for what knows the time or the name of the run."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    ran = run_cli(*training, "--epochs", 3, "--out", run)
    assert ran.returncode == 0, ran.stderr
    return _timeless(run)


LEFT_OUT = ("tensorboard/", "training.html", "curves.png")


def _timeless(run: Path) -> dict[str, bytes]:
    """What a run leaves, but for how long it took."""
    found = {name: content for name, content in _contents(run).items() if not name.startswith(LEFT_OUT)}
    rows = [json.loads(line) for line in found["metrics.jsonl"].splitlines()]
    learned = [{name: row[name] for name in row if name in ("epoch", "loss") or name.startswith("val_")} for row in rows]
    return {**found, "metrics.jsonl": json.dumps(learned).encode()}


@pytest.mark.parametrize(
    ("at", "number", "epoch"),
    [
        (f"{SAVE}:2", signal.SIGKILL, 1),
        (f"{SAVE}:3", signal.SIGKILL, 1),
        (f"{SAVE}:4", signal.SIGKILL, 1),
        (f"{STEP}:9", signal.SIGINT, 2),
    ],
    ids=[
        "kill -9 while the first epoch is saved as the best",
        "kill -9 while the first epoch is kept as the one before",
        "kill -9 while the second epoch is saved",
        "Ctrl-C in the third epoch",
    ],
)
def test_training_goes_on_as_if_never_stopped(
    run_cli: RunCli,
    stopped: Callable[..., str],
    training: tuple[str, ...],
    undisturbed: dict[str, bytes],
    at: str,
    number: signal.Signals,
    epoch: int,
    tmp_path: Path,
) -> None:
    """Bit for bit the weights, the optimiser, the metrics and the record."""
    run = tmp_path / "run"
    said = stopped(at, number, *training, "--epochs", 3, "--out", run)
    if number is signal.SIGINT:
        assert f"goes on with: edgevit train --resume --out {run}" in said
    checkpoint, _ = checkpoints.load(run / "last")
    assert checkpoint.metrics["epoch"] == epoch and (run / "best").exists() == (at != f"{SAVE}:2")
    refused = run_cli(*training, "--epochs", 3, "--out", run)
    assert refused.returncode == 2 and "--resume goes on with it" in refused.stderr
    other = run_cli("train", "--resume", "--out", run, "--lr", "0.5")
    assert other.returncode == 2 and ", not 0.5" in other.stderr
    ran = run_cli("train", "--resume", "--out", run)
    assert ran.returncode == 0, ran.stderr
    assert _timeless(run) == undisturbed


def test_an_epoch_that_was_killed_before_it_was_the_best_becomes_it(
    run_cli: RunCli, stopped: Callable[..., str], training: tuple[str, ...], tmp_path: Path
) -> None:
    """The loss of pre-training falls with every epoch: the fifth folder is the best of the second epoch, the last there is."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    arguments = ("pretrain", *training[1:], "--epochs", 2, "--out")
    assert run_cli(*arguments, whole).returncode == 0
    stopped(f"{SAVE}:5", signal.SIGKILL, *arguments, run)
    assert [checkpoints.read(run / name).metrics["epoch"] for name in ("best", "last")] == [1, 2]
    ran = run_cli("pretrain", "--resume", "--out", run)
    assert ran.returncode == 0, ran.stderr
    assert _timeless(run) == _timeless(whole)


def test_training_over_an_old_run_that_is_stopped_leaves_it(
    run_cli: RunCli, stopped: Callable[..., str], training: tuple[str, ...], checkpoint: Path, tmp_path: Path
) -> None:
    """Stopped by both, the second begun anew; then resumed to its end, when it takes the old one's place."""
    run = Path(shutil.copytree(checkpoint, tmp_path / "runs" / "run"))
    before = _contents(run)
    for number, seed in ((signal.SIGKILL, 1), (signal.SIGINT, 2)):
        stopped(f"{STEP}:5", number, *training, "--epochs", 2, "--seed", seed, "--out", run, "--force")
        assert _contents(run) == before
    ran = run_cli("train", "--resume", "--out", run)
    assert ran.returncode == 0, ran.stderr
    made = checkpoints.load(run / "last")[0]
    assert (made.train.epochs, made.train.seed, made.metrics["epoch"]) == (2, 2, 2) and os.listdir(run.parent) == ["run"]


@pytest.mark.parametrize(
    ("at", "number"),
    [(f"{STEP}:2", signal.SIGINT), (f"{STEP}:2", signal.SIGTERM), (f"{SAVE}:1", signal.SIGKILL)],
    ids=["Ctrl-C", "SIGTERM", "kill -9 while it is saved"],
)
def test_a_run_stopped_in_its_first_epoch_is_in_nobody_s_way(
    run_cli: RunCli, stopped: Callable[..., str], training: tuple[str, ...], at: str, number: signal.Signals, tmp_path: Path
) -> None:
    """Nothing can be resumed, and the same command once more simply trains."""
    run = tmp_path / "run"
    stopped(at, number, *training, "--epochs", 1, "--out", run)
    refused = run_cli("train", "--resume", "--out", run)
    assert refused.returncode == 2 and "train without --resume" in refused.stderr
    ran = run_cli(*training, "--epochs", 1, "--out", run)
    assert ran.returncode == 0, ran.stderr
    assert sorted(os.listdir(run)) == [
        "best",
        "curves.png",
        "last",
        "metrics.jsonl",
        "tensorboard",
        "training.html",
        "watch.json",
    ]


@pytest.fixture
def exported_before(run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, tmp_path: Path) -> Path:
    """An artifact of the target `null`."""
    ran = run_cli("export", checkpoint, "--target", "null", "--recipe", "fp32", "--out", tmp_path / "out", env=sabotage())
    assert ran.returncode == 0, ran.stderr
    return tmp_path / "out" / "null-fp32"


def test_an_export_that_is_stopped_leaves_the_artifact_before(
    run_cli: RunCli, stopped: Callable[..., str], sabotage: Sabotage, checkpoint: Path, exported_before: Path
) -> None:
    """Stopped by both, one after the other, while a converter has half a file written; then a whole export."""
    out = exported_before.parent
    arguments = ("export", checkpoint, "--target", "null", "--recipe", "fp32", "--out", out, "--force")
    before = _contents(exported_before)
    stopped("converters.null:halfway:1", signal.SIGKILL, *arguments)
    assert _contents(exported_before) == before and len(os.listdir(out)) == 2
    stopped("converters.null:halfway:1", signal.SIGINT, *arguments)
    assert _contents(exported_before) == before and os.listdir(out) == ["null-fp32"]
    stopped(f"{SAVE}:1", signal.SIGKILL, *arguments)  # the new one is whole, and not in its place
    assert _contents(exported_before) == before
    ran = run_cli(*arguments, "--json", env=sabotage())
    assert ran.returncode == 0, ran.stderr
    assert os.listdir(out) == ["null-fp32"] and json.loads(ran.stdout)[0]["outcome"] == "PASS"
    assert artifacts.verify(artifacts.read(exported_before))


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core makes one at a time")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["Ctrl-C", "SIGTERM", "kill -9"])
def test_two_conversions_at_once_are_both_stopped(
    stopped: Callable[..., str], checkpoint: Path, number: signal.Signals, tmp_path: Path
) -> None:
    """No process of either is left, as `stopped` holds, and no file but those that nobody could remove."""
    out = tmp_path / "out"
    recipes = ("--recipe", "fp32", "--recipe", "fp16", "--jobs", 2)
    stopped("converters.null:halfway:1", number, "export", checkpoint, "--target", "null", *recipes, "--out", out)
    left = sorted(name.partition(".")[2].partition(".")[0] for name in os.listdir(out))
    assert left == (["null-fp16", "null-fp32"] if number is signal.SIGKILL else [])
