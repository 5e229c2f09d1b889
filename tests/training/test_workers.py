"""Several processes train one model: what they learn is what one learns, and a worker that dies takes nothing along.

Real ones, started by torchrun, that talk by gloo on this machine.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from edgevit import checkpoint as checkpoints
from edgevit.training import order, watch
from edgevit.training.position import Learned

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

SEED = ("--seed", "3", "--device", "cpu")
TRAIN = ("train", "--data", "digits", "--model", "Pico/8", "--batch", "64", "--augment", "photo", *SEED)
SGD = (*TRAIN, "--optimiser", "sgd", "--lr", "0.05")
"""Without Adam, which makes a whole step of the rounding of a gradient that is zero."""
AVERAGED = (*SGD, "--ema", "0.9", "--accumulate", "2", "--precision", "float32")


def _start(workers: int, *arguments: object, restarts: int = 0) -> subprocess.Popen[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", workers, "--max-restarts", restarts]
    command = [sys.executable, *torchrun, *(["-m", "edgevit"]), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TESTED_BY": str(os.getpid())}
    return subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def _run(workers: int, *arguments: object) -> str:
    """What they said on stdout."""
    started = _start(workers, *arguments)
    said, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors
    return said


def _alone(*arguments: object) -> None:
    ran = subprocess.run([sys.executable, "-m", "edgevit", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def _difference(one: Path, other: Path, file: str = checkpoints.WEIGHTS) -> float:
    a, b = (safetensors.numpy.load_file(run / "last" / file) for run in (one, other))
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch of 23 steps by one process."""
    run = tmp_path_factory.mktemp("one") / "run"
    _alone(*SGD, "--epochs", 1, "--out", run)
    return run


@pytest.mark.parametrize(
    ("workers", "parallel"), [(2, "ddp"), pytest.param(3, "ddp", marks=pytest.mark.slow), (2, "fsdp")], ids=str
)
def test_a_part_of_the_batch_each_gives_the_result_of_one(workers: int, parallel: str, one: Path, tmp_path: Path) -> None:
    said = _run(workers, *SGD, "--epochs", 1, "--parallel", parallel, "--out", tmp_path / "run")
    assert _difference(one, tmp_path / "run") < 1e-5
    assert _difference(one, tmp_path / "run", "training.safetensors") < 1e-5
    mine, theirs = (watch.read(run / watch.LINES)[0] for run in (one, tmp_path / "run"))
    assert mine["val_top1"] == theirs["val_top1"] and mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert said.count("held-out, epoch 1 of 1") == 1  # the others are silent
    drawn = {"curves.png", "training.html", "watch.json"}
    assert set(os.listdir(tmp_path / "run")) - drawn == {"best", "last", "metrics.jsonl", "tensorboard"}


def _archive(path: Path, *images: bytes) -> None:
    """A shard of others' making: images of class 0 and 1 in turn."""
    with tarfile.open(path, "w") as archive:
        for nth, content in enumerate(images):
            for ending, held in (("png", content), ("cls", str(nth % 2).encode())):
                member = tarfile.TarInfo(f"{nth:04d}.{ending}")
                member.size = len(held)
                archive.addfile(member, io.BytesIO(held))


@pytest.mark.slow
def test_what_any_worker_cannot_read_is_named(tmp_path: Path) -> None:
    """Each decodes its own shards alone, so the first knows nothing of what the others left out."""
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    good, shards = image.getvalue(), tmp_path / "shards"
    shards.mkdir()
    for number in range(4):
        _archive(shards / f"train-{number}.tar", *[good] * 6, b"no image", good)
    _archive(shards / "val-0.tar", *[good] * 4)
    shape = ("--model", "Pico/8", "--image-size", "8", "--batch", "8", "--augment", "none", *SEED)
    out = tmp_path / "run"
    _run(2, "train", "--data", shards, *shape, "--epochs", 1, "--on-bad-image", "skip", "--out", out)
    assert checkpoints.find(out).name == "best"
    assert checkpoints.read(out / "last").skipped == tuple(f"train-{number}.tar/0006.png" for number in range(4))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [((2, "ddp"), 3), ((2, "fsdp"), 1), ((3, "fsdp"), 2), ((2, "ddp"), 1)], ids=str)
def test_a_run_goes_on_with_other_workers(first: tuple[int, str], then: int, tmp_path: Path) -> None:
    """Killed within an epoch, after any step; the average, the optimiser and the position are what they were."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _alone(*AVERAGED, "--epochs", 4, "--out", whole)
    workers, parallel = first
    started = _start(workers, *AVERAGED, "--epochs", 4, "--save-minutes", 0, "--parallel", parallel, "--out", cut)
    _until_epoch(cut, 2)
    _kill_all(started)
    _run(then, "train", "--resume", "--save-minutes", 10, "--out", cut)
    assert _difference(whole, cut) < 1e-5 and _difference(whole, cut, "training.safetensors") < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_a_worker_that_dies_is_started_again(workers: int, tmp_path: Path) -> None:
    """With all others, by torchrun; the same command goes on from the last checkpoint, and the end is that of a quiet run."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _run(workers, *SGD, "--epochs", 3, "--out", whole)
    started = _start(workers, *SGD, "--epochs", 3, "--save-minutes", 0, "--out", cut, restarts=1)
    _until_epoch(cut, 2)
    (victim, *_) = _processes(workers - 1, "edgevit.child")
    os.kill(victim, signal.SIGKILL)
    said, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors
    assert _difference(whole, cut) < 1e-6 and said.count("held-out, epoch ") == 1
    assert [row["epoch"] for row in watch.read(cut / watch.LINES)] == [1, 2, 3]


def _until_epoch(run: Path, epoch: int) -> None:
    """Until something of the epoch is kept."""
    position, deadline = run / "last" / "position.json", time.monotonic() + 120
    while f'"epoch": {epoch}' not in (position.read_text() if position.exists() else ""):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def _processes(rank: int, words: str) -> list[int]:
    """Those of a worker of ours whose command says so: other tests may run beside this."""
    marks = {f"RANK={rank}".encode(), f"TESTED_BY={os.getpid()}".encode()}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            environment, command = ((entry / name).read_bytes() for name in ("environ", "cmdline"))
        except (OSError, ValueError):
            continue
        if marks <= set(environment.split(b"\0")) and words.encode() in command:
            found.append(int(entry.name))
    return found


def _kill_all(started: subprocess.Popen[str]) -> None:
    for rank in range(3):
        for pid in _processes(rank, "edgevit.child"):
            os.kill(pid, signal.SIGKILL)
    started.kill()
    started.communicate()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_what_is_left_of_an_epoch(workers: int) -> None:
    """Every image once, whoever takes it, in the order of the seed; a resumed epoch has what was not done."""
    whole = order.batches(53, 1, 4, 8, workers, ())
    seen = [int(i) for batch in whole for part in batch for i in part]
    assert sorted(seen) == list(range(53)) and all(len(batch) == workers for batch in whole)
    assert [sum(map(len, batch)) for batch in whole] == [8] * 6 + [5]
    left = order.batches(53, 1, 4, 8, workers, (Learned(3, 2), Learned(workers, 1)))
    assert [int(i) for batch in left for part in batch for i in part] == seen[24:]
    assert seen != [int(i) for batch in order.batches(53, 1, 5, 8, workers, ()) for part in batch for i in part]


def test_a_rank_that_is_no_number(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgevit", *TRAIN, "--epochs", "1", "--out", str(tmp_path / "run")]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RANK": "one"}, check=False)
    assert ran.returncode == 2 and "the environment's RANK is no number: one" in ran.stderr and "Traceback" not in ran.stderr
