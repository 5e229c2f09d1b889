"""The images of a run: those of its source, fewer of them where a fraction was asked for, or any where nobody needs labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from edgevit.data import open_source, unlabelled
from edgevit.data.dataset import Images, fewer, split_by_class
from edgevit.types import TrainConfig


@dataclass(frozen=True)
class Chosen:
    """Images to learn from and images to choose the best checkpoint by; `native_size` and `photos` as a Dataset has them."""

    spec: str
    labels: tuple[str, ...]
    train: Images
    held_out: Images
    native_size: int
    photos: bool


def choose(train: TrainConfig) -> Chosen:
    """Raises BadInput for a missing or empty source."""
    if train.objective == "masked patches" and unlabelled.recognises(train.data):
        parts = unlabelled.open_unlabelled(train.data, train.seed, train.held_out)
        return Chosen(train.data, (), *parts, unlabelled.NATIVE_SIZE, photos=True)
    data = open_source(train.data, train.seed, train.held_out)
    images = data.train
    if train.fraction < 1:
        images = fewer(images, len(data.labels), train.fraction, train.seed)
    chosen = Chosen(train.data, data.labels, images, images, data.native_size, data.photos)
    if train.dev:
        parts = split_by_class(images, data.labels, train.seed, train.dev)
        return dataclasses.replace(chosen, train=parts[0], held_out=parts[1])
    return dataclasses.replace(chosen, held_out=data.held_out)
