"""What every source of images gives: labels, images to train on, and images held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from edgevit.errors import BadInput

T = TypeVar("T")
SPLITS = ("train", "held-out", "test", "all")


@dataclass(frozen=True)
class Images:
    """Labelled images, opened one at a time: `open(i)` is the i-th, decoded, or raises DamagedFile.

    The rest is known of some sources only. `content(i)` is the bytes of the file that the i-th is. `stamp(i)`, as plain values,
    is another where the i-th may have become another image. `groups` (n) is the number of the shard that each lies in: these are
    best read shard after shard, and `fetch(number)` brings a shard here that lies elsewhere.
    """

    names: Sequence[str]
    classes: np.ndarray
    open: Callable[[int], Image.Image]
    content: Callable[[int], bytes] | None = None
    stamp: Callable[[int], object] | None = None
    groups: np.ndarray | None = None
    fetch: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Sequence[int]) -> Images:
        chosen = list(indices)
        return Images(
            [self.names[i] for i in chosen],
            self.classes[chosen],
            lambda i: self.open(chosen[i]),
            _of(chosen, self.content),
            _of(chosen, self.stamp),
            None if self.groups is None else self.groups[chosen],
            self.fetch,
        )


@dataclass(frozen=True)
class Divided:
    """The parts that a source itself makes. None is a part that it lacks; `test` is one that is neither of the others."""

    train: Images | None
    held_out: Images | None
    test: Images | None = None


@dataclass(frozen=True)
class Undivided:
    """Images without a held-out part: a `share` of each class is set aside by `seed` when it is first asked for, not before."""

    images: Images
    seed: int
    share: float


def divided(train: Images | None, val: Images | None, test: Images | None, seed: int, share: float) -> Divided | Undivided:
    """The parts that `val` and `test` make: val is held out, or test where there is no val. With neither, train is undivided."""
    if train is not None and val is None and test is None:
        return Undivided(train, seed, share)
    return Divided(train, test) if val is None else Divided(train, val, test)


@dataclass(frozen=True)
class Dataset:
    """What a source holds. `native_size` is the side in pixels at which the images are best used; `photos` that a mirrored

    image is as good; `named` that the labels are names, where some sources know their classes by number alone.

    A source opens whatever it has: one image per class is enough to be tested on. BadInput comes when a part is asked for that
    it cannot give, and at once for fewer than two classes.
    """

    spec: str
    labels: tuple[str, ...]
    parts: Divided | Undivided
    native_size: int
    photos: bool
    named: bool = True

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise BadInput(f"only one class in {self.spec}: {', '.join(self.labels)}", "a classifier needs two or more")

        for label in self.labels:
            if not _is_text(label):
                raise BadInput(f"the name of a class is not text: {label!r} in {self.spec}", "rename it in UTF-8")

    @property
    def has_held_out(self) -> bool:
        """Whether the source itself says what is held out, so that no seed decides."""
        return isinstance(self.parts, Divided) and self.parts.held_out is not None

    @property
    def train(self) -> Images:
        return self._part("train", self._divided.train, f"{self.spec} can be tested on, with --split held-out or --split all")

    @property
    def held_out(self) -> Images:
        return self._part("held-out", self._divided.held_out, "--split all takes all of them")

    @property
    def test(self) -> Images:
        images = self.parts.test if isinstance(self.parts, Divided) else None
        return self._part("test", images, "where a source has two parts, its second is the split held-out")

    @property
    def all(self) -> Images:
        """Every image: as the source has them, or train, held out and test, one after the other."""
        if isinstance(self.parts, Undivided):
            return self.parts.images
        return _joined([part for part in (self.parts.train, self.parts.held_out, self.parts.test) if part is not None])

    def split(self, name: str) -> Images:
        """`train`, `held-out`, `test`, or `all`. Raises BadInput for another name, and for a part that is not there."""
        if name not in SPLITS:
            raise BadInput(f"unknown split: {name}", f"known: {', '.join(SPLITS)}")
        return getattr(self, name.replace("-", "_"))

    def _part(self, name: str, images: Images | None, hint: str) -> Images:
        if images is None:
            raise BadInput(f"no {name} images in {self.spec}", hint)
        return images

    @cached_property
    def _divided(self) -> Divided:
        if isinstance(self.parts, Divided):
            return self.parts
        return Divided(*split_by_class(self.parts.images, self.labels, self.parts.seed, self.parts.share))


def _is_text(label: str) -> bool:
    """Whether it can be written down: file names and arrays hold bytes and numbers that are no letters."""
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return True


def split_by_class(images: Images, labels: tuple[str, ...], seed: int, held_out: float) -> tuple[Images, Images]:
    """Set aside `held_out` of each class, at least one image: (train, held out).

    The order is that of a hash of seed and name: it depends neither on a library's random numbers nor on other files, so an
    unreadable or added image moves no other one to the other side. Raises BadInput for a class with fewer than two images.
    """
    train: list[int] = []
    aside: list[int] = []
    for number, members in enumerate(_by_class(images, len(labels), str(seed))):
        if len(members) < 2:
            count = "only one image" if members else "no image"
            hint = "a class needs one image to train on and one held out; --split all tests on what there is"
            raise BadInput(f"{count} in class {labels[number]}", hint)
        cut = min(max(1, round(held_out * len(members))), len(members) - 1)
        aside += members[:cut]
        train += members[cut:]
    return images.take(sorted(train)), images.take(sorted(aside))


def fewer(images: Images, labels_count: int, fraction: float, seed: int) -> Images:
    """The `fraction` (above 0, at most 1) of the images of each class, at least one, in their order.

    What a seed chooses for one fraction is among what it chooses for every larger one. Raises BadInput for another fraction and
    for a class without an image.
    """
    if not 0 < fraction <= 1:
        raise BadInput(f"not a fraction of the training images: {fraction}", "give a number above 0 and at most 1")
    chosen: list[int] = []
    for number, members in enumerate(_by_class(images, labels_count, f"{seed}/fewer")):
        if not members:
            raise BadInput(f"no image to train on in class {number}")
        chosen += members[: max(1, round(fraction * len(members)))]
    return images.take(sorted(chosen))


def _by_class(images: Images, count: int, salt: str) -> list[list[int]]:
    """For each of `count` classes the indices of its images, in the order of a hash of salt and name."""
    members: list[list[int]] = [[] for _ in range(count)]
    for i, number in enumerate(images.classes.tolist()):
        members[number].append(i)
    for group in members:
        group.sort(key=lambda i: hashlib.sha256(f"{salt}/{images.names[i]}".encode(errors="surrogatepass")).digest())
    return members


def _of(chosen: list[int], function: Callable[[int], T] | None) -> Callable[[int], T] | None:
    return None if function is None else lambda i: function(chosen[i])


def _joined(parts: Sequence[Images]) -> Images:
    """All the parts as one. Shards have the same numbers in all parts of a source."""
    ends = np.array(list(accumulate(map(len, parts))))

    def each(name: str) -> Callable[[int], Any]:
        def called(i: int) -> Any:
            part = int(np.searchsorted(ends, i, side="right"))
            return getattr(parts[part], name)(i - int(ends[part]) + len(parts[part]))

        return called

    names = [name for part in parts for name in part.names]
    classes = np.concatenate([part.classes for part in parts])
    content, stamp = (each(name) if all(getattr(p, name) for p in parts) else None for name in ("content", "stamp"))
    groups = [part.groups for part in parts if part.groups is not None]
    together = np.concatenate(groups) if len(groups) == len(parts) else None
    return Images(names, classes, each("open"), content, stamp, together, parts[0].fetch)
