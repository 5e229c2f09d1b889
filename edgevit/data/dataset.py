"""What every source of images gives: labels, images to train on, and images held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgevit.errors import BadInput


@dataclass(frozen=True)
class Images:
    """Labelled images, opened one at a time: `open(i)` is the i-th, decoded, or raises DamagedFile."""

    names: Sequence[str]
    classes: np.ndarray
    open: Callable[[int], Image.Image]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Sequence[int]) -> Images:
        chosen = list(indices)
        return Images([self.names[i] for i in chosen], self.classes[chosen], lambda i: self.open(chosen[i]))


@dataclass(frozen=True)
class Dataset:
    """`native_size` is the side in pixels at which the images are best used; `photos` that a mirrored one is as good."""

    spec: str
    labels: tuple[str, ...]
    train: Images
    held_out: Images
    native_size: int
    photos: bool

    def split(self, name: str) -> Images:
        """`train`, `held-out`, or `all`. Raises BadInput for another name."""
        if name == "all":
            n, both = len(self.train), (self.train, self.held_out)
            return Images(
                [*self.train.names, *self.held_out.names],
                np.concatenate([part.classes for part in both]),
                lambda i: self.train.open(i) if i < n else self.held_out.open(i - n),
            )
        if name not in ("train", "held-out"):
            raise BadInput(f"unknown split: {name}", "known: train, held-out, all")
        return self.train if name == "train" else self.held_out


def split_by_class(images: Images, labels: tuple[str, ...], seed: int, held_out: float) -> tuple[Images, Images]:
    """Set aside `held_out` of each class, at least one image: (train, held out).

    The order is that of a hash of seed and name: it depends neither on a library's random numbers nor on other files, so an
    unreadable or added image moves no other one to the other side. Raises BadInput for a class with fewer than two images.
    """
    train: list[int] = []
    aside: list[int] = []
    for number, label in enumerate(labels):
        members = [int(i) for i in np.flatnonzero(images.classes == number)]
        if len(members) < 2:
            count = "only one image" if members else "no image"
            raise BadInput(f"{count} in class {label}", "a class needs one image to train on and one held out")
        members.sort(key=lambda i: hashlib.sha256(f"{seed}/{images.names[i]}".encode()).digest())
        cut = min(max(1, round(held_out * len(members))), len(members) - 1)
        aside += members[:cut]
        train += members[cut:]
    return images.take(sorted(train)), images.take(sorted(aside))
