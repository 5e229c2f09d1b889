"""What a user does not say about training, derived from the data and the machine."""

from __future__ import annotations

import dataclasses

from edgevit.data import preprocess
from edgevit.data.dataset import Dataset
from edgevit.types import Preprocess, TrainConfig, ViTConfig
from edgevit.vit.config import config

SMALL_IMAGE = 64
"""Pixels; up to here a small model with few patches is the default, above it Ti/16."""


def resolve(train: TrainConfig, data: Dataset) -> TrainConfig:
    """`train` with every open choice made. An equal data set gives an equal answer."""
    size = train.image_size or data.native_size
    model = train.model or _model(size)
    augment = "photo" if data.photos else "light"
    return dataclasses.replace(
        train,
        model=model,
        image_size=size,
        epochs=train.epochs or _epochs(len(data.train)),
        batch=train.batch or min(128, max(8, len(data.train) // 16)),
        lr=train.lr or 0.2 / config(model, size, len(data.labels)).width,
        augment=augment if train.augment == "auto" else train.augment,
    )


def _model(size: int) -> str:
    """The largest patch of 4 to 8 pixels that divides a small image: 16 to 64 tokens train best in minutes on a CPU."""
    patches = [patch for patch in (8, 7, 6, 5, 4) if size % patch == 0]
    return f"Nano/{patches[0]}" if size <= SMALL_IMAGE and patches else "Ti/16"


def _epochs(images: int) -> int:
    """Small sets are seen more often: about 1,500,000 images in all, within 20 and 60 passes."""
    return min(60, max(20, 1_500_000 // images))


def shape(train: TrainConfig, data: Dataset) -> tuple[ViTConfig, Preprocess]:
    """The model and the preprocessing of a resolved `train`. Raises UnknownName and BadInput for what does not fit."""
    assert train.model and train.image_size
    return config(train.model, train.image_size, len(data.labels)), preprocess.default(train.image_size, data.photos)
