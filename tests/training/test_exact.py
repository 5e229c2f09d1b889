"""A run that was cut off, at whatever moment, ends as one that was not: bit for bit. And what stops a training says so."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from edgevit import checkpoint as checkpoints
from edgevit import memory, pipeline
from edgevit.errors import BadInput, DamagedFile, Diverged, OutOfMemory
from edgevit.training import fits, run_settings, speed, watch
from edgevit.training.fit import fit
from edgevit.training.images import choose
from edgevit.training.masked import MaskedPatches
from edgevit.training.supervised import Supervised
from edgevit.types import TrainConfig, read_label, silent
from edgevit.vit.config import config

TINY = TrainConfig("digits", model="Pico/8", epochs=2, batch=256, lr=3e-3, fraction=0.5, precision="float32", save_minutes=0)
"""Three steps to an epoch, with a save after each."""


def _same(one: Path, other: Path) -> bool:
    files = [f"{name}/{file}" for name in ("best", "last") for file in (checkpoints.WEIGHTS, "training.safetensors")]
    pairs = [[safetensors.numpy.load_file(run / file) for run in (one, other)] for file in files if (one / file).exists()]
    return all(a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a) for a, b in pairs)


def _cut(train: TrainConfig, run: Path, epoch: int, batch: int) -> None:
    batches = []

    def stop(label: str, done: float, total: float | None) -> None:
        if read_label(label).detail.startswith(f"epoch {epoch}/"):
            batches.append(done)
            if len(batches) == batch:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(train, run, resume=False, progress=stop)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all that is random": {"augment": "strong", "mixup": 0.4, "cutmix": 0.4, "erasing": 0.3, "drop_path": 0.2, "ema": 0.9},
    "several batches to a step": {"batch": 100, "accumulate": 2},
    "masked": {"objective": "masked patches"},
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_within_an_epoch(option: dict[str, Any], tmp_path: Path) -> None:
    train = dataclasses.replace(TINY, **option)
    fit(train, tmp_path / "whole", resume=False)
    for epoch, batch in ((1, 2), (2, 2)):
        run = tmp_path / f"cut-{epoch}"
        _cut(train, run, epoch, batch)
        fit(train, run, resume=True)
        assert _same(tmp_path / "whole", run)
        rows = [[row["loss"] for row in watch.read(r / watch.LINES)] for r in (tmp_path / "whole", run)]
        assert rows[0] == rows[1]


def test_the_mean_loss_counts_what_was_seen_before_the_cut(tmp_path: Path) -> None:
    _cut(TINY, tmp_path / "run", 2, 2)
    position = (tmp_path / "run" / "last" / "position.json").read_text()
    assert '"epoch": 2' in position and '"batches": 2' in position and '"seen": 512' in position


@pytest.fixture(scope="module")
def cut_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("cut") / "run"
    _cut(TINY, run, 2, 2)
    return run


@pytest.fixture
def cut(cut_once: Path, tmp_path: Path) -> Path:
    """A run that was cut in its second epoch, with a last checkpoint and one before it."""
    return Path(shutil.copytree(cut_once, tmp_path / "run"))


@pytest.mark.parametrize("file", [checkpoints.WEIGHTS, "training.safetensors", checkpoints.RECORD, "position.json"])
@pytest.mark.parametrize("how", ["cut short", "altered", "gone"])
def test_a_damaged_last_checkpoint(file: str, how: str, cut: Path, tmp_path: Path) -> None:
    _damage(cut / "last" / file, how)
    said = pipeline.mend(cut)
    assert "the last checkpoint is damaged (" in said and "going on from the one before it" in said
    assert run_settings.damage(cut / "last") == "" and not (cut / "before").exists()
    assert pipeline.mend(cut) == ""


def test_a_run_goes_on_from_the_checkpoint_before_the_last(cut: Path, tmp_path: Path) -> None:
    fit(TINY, tmp_path / "whole", resume=False)
    _damage(cut / "last" / checkpoints.WEIGHTS, "altered")
    ran = subprocess.run(
        [sys.executable, "-m", "edgevit", "train", "--resume", "--out", str(cut)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "warning: the last checkpoint is damaged (model.safetensors is not what was written)" in " ".join(ran.stderr.split())
    assert _same(tmp_path / "whole", cut)


def test_both_checkpoints_damaged(cut: Path) -> None:
    for name in ("last", "before"):
        _damage(cut / name / checkpoints.WEIGHTS, "cut short")
    with pytest.raises(DamagedFile, match="the last checkpoint is damaged") as caught:
        pipeline.mend(cut)
    assert "the one before it is too: model.safetensors" in caught.value.hint
    shutil.rmtree(cut / "before")
    with pytest.raises(DamagedFile) as caught:
        pipeline.mend(cut)
    assert caught.value.hint == "there is none before it"


def _damage(file: Path, how: str) -> None:
    data = file.read_bytes()
    file.unlink()  # the one before may be the same file
    if how != "gone":
        middle = len(data) // 2
        file.write_bytes(data[:middle] if how == "cut short" else data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def test_how_it_is_computed_may_change_and_what_may_not(cut: Path) -> None:
    with pytest.raises(BadInput, match="batch 256, not 64"):
        pipeline.resume({"batch": 64}, cut, silent)
    pipeline.resume({"recompute": True, "save_minutes": 10.0}, cut, silent)
    last = checkpoints.read(cut / "last")
    assert last.train and last.train.recompute and last.train.save_minutes == 10


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the fifth step, the second of the second epoch."""
    steps, loss = [0], Supervised.forward

    def forward(self: Supervised, *prepared: torch.Tensor) -> torch.Tensor:
        steps[0] += 1
        return loss(self, *prepared) * (float("nan") if steps[0] == 5 else 1)

    monkeypatch.setattr(Supervised, "forward", forward)
    with pytest.raises(Diverged, match="in epoch 2, step 5") as caught:
        fit(TINY, tmp_path / "run", resume=False)
    assert "lower --lr (it is 0.003)" in caught.value.hint
    assert run_settings.damage(tmp_path / "run" / "last") == ""
    checkpoints.load(tmp_path / "run" / "last")  # which holds no NaN


def _too_small_for(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which more images than that do not fit, and that says so as a GPU does."""
    loss = Supervised.forward

    def forward(self: Supervised, pixels: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if len(pixels) > images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss(self, pixels, *rest)

    monkeypatch.setattr(Supervised, "forward", forward)
    monkeypatch.setattr(fits, "_by_line", fits._by_trying)


@pytest.mark.parametrize("images", [7, 200])
def test_out_of_memory_names_a_batch_that_fits(images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _too_small_for(images, monkeypatch)
    with pytest.raises(OutOfMemory, match="out of memory on cpu with 256 images in a batch") as caught:
        fit(TINY, tmp_path / "run", resume=False)
    words = caught.value.hint.split()
    batch, accumulate = int(words[1]), int(words[3])
    assert 0.8 * images <= batch <= images and 256 <= batch * accumulate < 256 + batch
    fitting = dataclasses.replace(TINY, batch=batch, accumulate=accumulate, epochs=1)
    fit(fitting, tmp_path / "run", resume=False)


def test_not_even_one_image_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _too_small_for(0, monkeypatch)
    with pytest.raises(OutOfMemory, match="a single image"):
        fit(dataclasses.replace(TINY, auto_batch=True), tmp_path / "run", resume=False)


def test_a_batch_that_fits_is_found_and_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = dataclasses.replace(TINY, optimiser="sgd", lr=0.1, epochs=1, augment="none")
    fit(train, tmp_path / "whole", resume=False)
    _too_small_for(100, monkeypatch)
    made = fit(dataclasses.replace(train, auto_batch=True), tmp_path / "parts", resume=False)
    assert made.train and made.train.batch and made.train.batch <= 100 and made.train.batch * made.train.accumulate >= 256
    assert made.train.batch * made.train.accumulate < 256 + made.train.accumulate


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells how much memory was held")
def test_on_a_cpu_the_batch_follows_from_the_memory_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that does not fit is ever tried: the system would kill it. Here an image takes 2 MB, and all together 5."""
    train = dataclasses.replace(TINY, auto_batch=True, epochs=1)
    assert fit(train, tmp_path / "whole", resume=False).train.batch == 256  # type: ignore[union-attr]
    tried: list[int] = []
    monkeypatch.setattr(fits, "_status", lambda name: 300e6)
    monkeypatch.setattr(fits, "_peak", lambda engine, images: tried.append(images) or 300e6 + 5e6 + images * 2e6)
    monkeypatch.setattr(memory, "available", lambda: 105e6 / fits.MARGIN)
    made = fit(train, tmp_path / "parts", resume=False)
    assert made.train and (made.train.batch, made.train.accumulate) == (43, 6) and max(tried) <= 50
    monkeypatch.setattr(memory, "available", lambda: 6e6)
    with pytest.raises(OutOfMemory, match="no memory is left"):
        fit(train, tmp_path / "none", resume=False)


@pytest.mark.parametrize("objective", ["classes", "masked patches"])
def test_what_is_computed_twice_is_the_same(objective: str, tmp_path: Path) -> None:
    train = dataclasses.replace(TINY, objective=objective, drop_path=0.3, epochs=1)
    fit(train, tmp_path / "kept", resume=False)
    fit(dataclasses.replace(train, recompute=True), tmp_path / "recomputed", resume=False)
    assert _same(tmp_path / "kept", tmp_path / "recomputed")


def test_operations_of_a_step() -> None:
    """ViT-S/16: 4.6 G multiplications with additions there (DeiT, arXiv 2012.12877, table 1 has 4.6), three times two of that."""
    assert speed.flops(config("S/16", (224, 224), 1000)) == pytest.approx(6 * 4.6e9, rel=0.02)
    assert speed.matrix_rate(torch.device("cpu"), torch.float32) > 1e9


def test_an_epoch_tells_how_it_went(tmp_path: Path) -> None:
    fit(TINY, tmp_path / "run", resume=False)
    images = len(choose(TINY).train)
    for row in watch.read(tmp_path / "run" / watch.LINES):
        assert row["images_per_second"] == pytest.approx(images / row["seconds"]) and 0 <= row["data_wait"] < 1
        assert 0 < row["mfu"] < 1 and row["grad_norm"] > 0 and row["lr"] > 0


def test_a_masked_step_does_not_ask_the_device_which_patches_there_are() -> None:
    """No operator whose result has a size that only the device knows: the host would wait for it."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Asked(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):  # type: ignore[no-untyped-def]
            asked.append(str(function))
            return function(*arguments, **(keywords or {}))

    from edgevit.data.drawing import draws
    from edgevit.types import Preprocess
    from edgevit.vit.model import ViT

    asked: list[str] = []
    objective = MaskedPatches(ViT(config("Pico/8", (16, 16), 0)), Preprocess((16, 16), (16, 16)))
    prepared = objective.prepared(torch.randn(4, 3, 16, 16), torch.zeros(4), draws(0, 0, 0, 4, 0, 4))
    with Asked():
        objective(*prepared)
    assert asked and not [name for name in asked if "nonzero" in name or "_local_scalar" in name]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_twenty_times(tmp_path: Path) -> None:
    """`kill -9` at random moments of loading, stepping and saving: each run ends with the weights of an undisturbed one."""
    command = [
        sys.executable, "-m", "edgevit", "train", "--data", "digits", "--model", "Pico/8", "--batch", "32", "--epochs", "6",
        "--lr", "0.003", "--ema", "0.9", "--drop-path", "0.1", "--mixup", "0.3", "--precision", "float32",
        "--save-minutes", "0.002", "--out",
    ]  # fmt: skip
    whole, began = tmp_path / "whole", time.monotonic()
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    lasted, moments = time.monotonic() - began, random.Random(20)
    kills = 0
    while kills < 20:
        run = tmp_path / f"run-{kills}"
        moment = moments.uniform(0.3, 1.0) * lasted
        started = subprocess.Popen([*command, str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            started.wait(moment)
            shutil.rmtree(run)
            continue  # it was faster than the moment: not a kill
        except subprocess.TimeoutExpired:
            os.kill(started.pid, signal.SIGKILL)
            started.wait()
            kills += 1
        goes_on = [*command[:4], "--resume", "--out", str(run)] if (run / "last").exists() else [*command, str(run)]
        ran = subprocess.run(goes_on, capture_output=True, text=True, check=False)
        assert ran.returncode == 0 or "nothing left to resume" in ran.stderr, (moment, ran.stderr)
        assert _same(whole, run), moment
        shutil.rmtree(run)
