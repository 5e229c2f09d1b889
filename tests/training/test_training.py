"""Training learns, resumes exactly, and derives what was not said."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from edgevit import checkpoint as checkpoints
from edgevit import folder
from edgevit.data.augment import AUGMENTS, augment
from edgevit.data.dataset import Images
from edgevit.data.drawing import draws
from edgevit.errors import BadInput, EdgevitError
from edgevit.training import optimiser, recipe, run_folder, run_settings, watch
from edgevit.training.fit import fit
from edgevit.training.images import Chosen
from edgevit.training.optimiser import learning_rate
from edgevit.training.supervised import Supervised
from edgevit.training.workers import choose_device
from edgevit.types import TrainConfig, read_label
from edgevit.vit.config import config
from edgevit.vit.model import ViT

TINY = TrainConfig(data="digits", model="Pico/8", epochs=3, batch=256, lr=3e-3)


def test_learns_and_leaves_a_whole_run(tmp_path: Path) -> None:
    best = fit(TINY, tmp_path / "run", resume=False)
    rows = watch.read(tmp_path / "run" / watch.LINES)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"] < math.log(10) + 0.1
    assert (best.chosen_by, checkpoints.read(tmp_path / "run" / "last").chosen_by) == ("val_top1", "")
    assert best.metrics["val_top1"] == max(row["val_top1"] for row in rows) > 0.15
    record, model = checkpoints.load(tmp_path / "run")
    assert record.folder.name == "best" and model.config.classes == 10 and record.labels == tuple("0123456789")
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_an_epoch_shows_how_good_the_one_before_was(tmp_path: Path) -> None:
    labels: list[str] = []
    fit(TINY, tmp_path / "run", resume=False, progress=lambda label, done, total: labels.append(read_label(label).detail))
    first = watch.read(tmp_path / "run" / watch.LINES)[0]["val_top1"]
    assert not any("top-1" in label for label in labels if label.startswith("epoch 1/3") and label.endswith("images/s"))
    assert any(label.startswith("epoch 2/3, loss") and f", top-1 {100 * first:.2f} %" in label for label in labels)


def test_resumed_run_is_bit_identical(tmp_path: Path) -> None:
    fit(TINY, tmp_path / "whole", resume=False)
    _stop_after(tmp_path / "cut", epoch=1)
    fit(TINY, tmp_path / "cut", resume=True)
    for name in ("best", "last"):
        whole, cut = (safetensors.numpy.load_file(tmp_path / run / name / checkpoints.WEIGHTS) for run in ("whole", "cut"))
        assert all(np.array_equal(whole[key], cut[key]) for key in whole)
    whole, cut = ([_learned(row) for row in watch.read(tmp_path / run / watch.LINES)] for run in ("whole", "cut"))
    assert whole == cut


@pytest.mark.slow
def test_a_compiled_step_learns_the_same(tmp_path: Path) -> None:
    """Whole batches by the compiled module, the last and smaller one of each epoch by the plain one."""
    plain = dataclasses.replace(TINY, epochs=1, optimiser="sgd", lr=0.05, precision="float32", device="cpu")
    for name, compiled in (("plain", False), ("compiled", True)):
        fit(dataclasses.replace(plain, compile=compiled), tmp_path / name, resume=False)
    weights = [safetensors.numpy.load_file(tmp_path / name / "last" / checkpoints.WEIGHTS) for name in ("plain", "compiled")]
    assert max(float(np.abs(weights[0][name] - weights[1][name]).max()) for name in weights[0]) < 1e-5


def _learned(row: dict[str, float]) -> dict[str, float]:
    """Without what the machine made of it."""
    return {name: row[name] for name in ("epoch", "loss", "val_loss", "val_top1")}


def test_a_run_killed_before_its_last_row_is_not_yet_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All epochs are in `last`; what was still to be written is, and then nothing is left."""
    short, run = dataclasses.replace(TINY, epochs=1), tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_folder, "save_best", _interrupt)
        fit(short, run, resume=False)
    assert not (run / "best").exists() and run_settings.unfinished(run)[0] == run
    best = fit(short, run, resume=True)
    assert (best.metrics["epoch"], best.chosen_by) == (1, "val_top1")
    assert watch.read(run / watch.LINES) == [best.metrics]
    with pytest.raises(BadInput, match="nothing left to resume"):
        run_settings.unfinished(run)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_story_that_is_none_is_refused(tmp_path: Path) -> None:
    fit(dataclasses.replace(TINY, epochs=1), tmp_path / "run", resume=False)
    (tmp_path / "run" / watch.LINES).write_text("{")
    with pytest.raises(BadInput, match=r"metrics\.jsonl: no lines of metrics"):
        run_settings.unfinished(tmp_path / "run")


def _stop_after(run: Path, epoch: int) -> None:
    """Train until the progress of the next epoch begins, and stop there as Ctrl-C would."""

    def stop(label: str, done: float, total: float | None) -> None:
        if read_label(label).detail.startswith(f"epoch {epoch + 1}/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(TINY, run, resume=False, progress=stop)


def test_loss_that_is_no_number_stops_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Supervised, "forward", lambda self, images, *rest: self.model(images).mean() * float("nan"))
    with pytest.raises(EdgevitError, match="no longer a number, in epoch 1, step 1") as caught:
        fit(TINY, tmp_path / "run", resume=False)
    assert "--lr" in caught.value.hint
    assert not (tmp_path / "run" / "last").exists()


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(step, 100, 1.0, 0.1) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[55] == pytest.approx(0.5, abs=0.01)
    assert rates[99] < 0.001
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_only_matrices_decay() -> None:
    model = ViT(config("Pico/8", (16, 16), 3))
    train = TrainConfig("x", lr=1e-3, weight_decay=0.05, layer_decay=1.0, optimiser="adamw")
    decayed, rest = optimiser.build(run_folder.parameters(model, None), train, 4).param_groups
    if decayed["weight_decay"] == 0:
        decayed, rest = rest, decayed
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)].rpartition(".")[2] for p in decayed["params"]} == {"weight"}
    assert {"cls_token", "pos_embed", "norm.weight", "head.bias"} <= {names[id(p)] for p in rest["params"]}
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.05, 0.0)


def test_defaults_follow_the_data() -> None:
    def source(n: int, size: int, photos: bool) -> Chosen:
        images = Images([""] * n, np.zeros(n, np.int64), lambda i: Image.new("L", (1, 1)))
        return Chosen("x", ("a", "b"), images, images, size, photos)

    small = recipe.resolve(TrainConfig("x"), source(60_000, 28, False))
    photos = recipe.resolve(TrainConfig("x"), source(3_000, 224, True))
    assert (photos.model, photos.image_size, photos.augment) == ("Ti/16", (224, 224), "photo")
    assert small.image_size == (28, 28) and small.epochs and photos.epochs and small.epochs < photos.epochs
    config_, preprocess = recipe.shape(small, source(60_000, 28, False))
    assert config_.grid == (4, 4) and preprocess.crop == (28, 28) and config_.classes == 2
    said = TrainConfig("x", model="S/16", epochs=3, batch=7, lr=0.5, augment="none", image_size=(32, 32))
    found = recipe.resolve(said, source(10, 28, False))
    assert all(getattr(found, name) == value for name, value in vars(said).items() if value is not None and name != "preset")


def test_augmentation_stays_in_range_and_off_means_off() -> None:
    images = torch.rand(8, 3, 16, 16)
    random = draws(0, 0, 0, 8, 0, 8)
    assert augment(images, AUGMENTS["none"], random) is images
    for name in ("light", "photo"):
        changed = augment(images, AUGMENTS[name], random)
        assert changed.shape == images.shape and not torch.equal(changed, images)
        assert changed.min() >= 0 and changed.max() <= 1


def test_augmentation_without_range_is_the_identity() -> None:
    still = dataclasses.replace(AUGMENTS["light"], turn=0, zoom=(1, 1), shift=0)
    images = torch.rand(4, 3, 12, 12)
    assert torch.allclose(augment(images, still, draws(0, 0, 0, 4, 0, 4)), images, atol=1e-5)


def test_a_new_run_beside_an_old_one(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run_settings.place(out, force=False) == out
    fit(dataclasses.replace(TINY, epochs=1), out, resume=False)
    with pytest.raises(BadInput, match="already exists"):
        run_settings.place(out, force=False)
    assert run_settings.place(out, force=True) == tmp_path / "run.partial"
    with pytest.raises(BadInput, match="nothing left to resume"):
        run_settings.unfinished(out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="holds no run"):
        run_settings.place(tmp_path / "mine", force=True)


def test_a_run_is_not_replaced_with_what_is_not_its_own(tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(dataclasses.replace(TINY, epochs=1), run, resume=False)
    (run / "best" / "notes.txt").write_text("mine")
    (run / "export").mkdir()
    with pytest.raises(BadInput, match=r"would be lost: best/notes\.txt, export$") as caught:
        run_settings.place(run, force=True)
    assert "move it elsewhere" in caught.value.hint and (run / "best" / "notes.txt").exists()


def test_an_old_run_is_removed_under_a_name_that_is_no_run_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is stopped while it goes finds the new run finished, and not the old one to be resumed."""
    out, beside = tmp_path / "run", tmp_path / "run.partial"
    _stop_after(out, epoch=1)
    fit(dataclasses.replace(TINY, epochs=1), beside, resume=False)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", lambda *_, ignore_errors=False: None if ignore_errors else _interrupt())
        folder.put_in_place(beside, out)
    assert not beside.exists()
    with pytest.raises(BadInput, match=r"nothing left to resume: .* has all its 1 epochs"):
        run_settings.unfinished(out)


def test_absent_device_is_refused() -> None:
    with pytest.raises(BadInput, match="no such device here: cuda:99"):
        choose_device("cuda:99")
