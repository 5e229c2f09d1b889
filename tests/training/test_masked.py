"""Masked patch prediction: what is hidden, what is predicted, and its own settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from edgevit.data.dataset import Images
from edgevit.data.drawing import draws
from edgevit.training import recipe
from edgevit.training.fit import fit
from edgevit.training.images import Chosen
from edgevit.training.masked import MaskedPatches
from edgevit.training.optimiser import layer
from edgevit.types import Checkpoint, Preprocess, TrainConfig
from edgevit.vit.config import config
from edgevit.vit.model import ViT

TINY = TrainConfig(data="digits", model="Pico/8", epochs=2, batch=256, lr=3e-3, fraction=0.5)


def _source(n: int, size: int, photos: bool) -> Chosen:
    images = Images([""] * n, np.zeros(n, np.int64), lambda i: None)  # type: ignore[arg-type,return-value]
    return Chosen("x", ("a", "b"), images, images, size, photos)


def test_pretrained_encoder_is_fine_tuned(tmp_path: Path) -> None:
    found = fit(dataclasses.replace(TINY, objective="masked patches"), tmp_path / "pre", resume=False)
    assert (found.labels, found.config.classes) == ((), 0) and found.metrics["val_colours"] > 0
    tuned = fit(TrainConfig("digits", start=str(tmp_path / "pre"), epochs=1, fraction=0.3), tmp_path / "tuned", resume=False)
    assert tuned.config.classes == 10


def test_pretraining_has_a_preset_of_its_own() -> None:
    """Photographs by the thousand: nothing that stands there for labels is ticked, and the new mask token learns at full rate."""
    train = TrainConfig("x", objective="masked patches")
    start = Checkpoint(config("Ti/16", (224, 224), 2), Preprocess((256, 256), (224, 224)), ("a", "b"), {}, "", {})
    for given in (None, start):
        found = recipe.resolve(train, _source(100_000, 224, True), given)
        labels = (found.mixup, found.cutmix, found.erasing, found.label_smoothing, found.ema)
        assert found.preset == "pretrain" and labels == (0.0,) * 5 and found.layer_decay == 1.0
    assert layer("mask_token", 12) == layer("colours.weight", 12) == 13


def test_no_patch_corrupted_is_nothing_to_learn() -> None:
    shape = config("Pico/8", (16, 16), 0)
    objective = MaskedPatches(ViT(shape), Preprocess((16, 16), (16, 16)))
    prepared = (objective.prepared(torch.randn(1, 3, 16, 16), torch.zeros(1), draws(i, 0, 0, 1, 0, 1)) for i in range(60))
    losses = [float(objective(*given).detach()) for given in prepared]
    assert all(np.isfinite(losses)) and 0.0 in losses


def test_colours_of_patches() -> None:
    shape = config("Pico/8", (16, 16), 0)
    objective = MaskedPatches(ViT(shape), Preprocess((16, 16), (16, 16)))
    images = torch.zeros(1, 3, 16, 16)
    images[0, 0, :8, :8], images[0, 1, :8, 8:], images[0, 2, 8:, :8] = 1.0, 0.99, 0.126
    normalised = (images - 0.5) / 0.5
    assert objective.colours(normalised).tolist() == [[7 << 6, 7 << 3, 1, 0]]


def test_corrupted_patches_are_predicted_without_being_seen() -> None:
    """The gradient of the loss reaches pixels of a masked patch by no way."""
    torch.manual_seed(0)
    shape = config("Pico/8", (16, 16), 0)
    objective = MaskedPatches(ViT(shape), Preprocess((16, 16), (16, 16)))
    torch.nn.init.normal_(objective.predictor.colours.weight)
    images = torch.randn(32, 3, 16, 16, requires_grad=True)
    objective(*objective.prepared(images, torch.zeros(32), draws(0, 0, 0, 32, 0, 32))).backward()
    seen = torch.nn.functional.avg_pool2d(images.grad.abs().sum(1, keepdim=True), 8).flatten() > 0
    assert 0.5 < seen.float().mean() < 0.75  # 40 % are masked, and some of the rest stand in for others
