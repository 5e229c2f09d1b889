"""Shards of WebDataset: a folder of tar archives, or the URL of the `index.json` of one that `edgevit shards` wrote.

Images are read at their place in the archive; nothing is unpacked. From a server whole shards are fetched as they come due.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from edgevit.data import shards_fetch, shards_index
from edgevit.data.dataset import Dataset, Divided, Images, Undivided, divided
from edgevit.data.decoding import image_of, stamp_of
from edgevit.data.shards_index import Listings
from edgevit.errors import DamagedFile
from edgevit.types import Shard, ShardIndex
from edgevit.types.shards import PARTS


def recognises(spec: str) -> bool:
    path = Path(spec)
    return shards_fetch.means(spec) or (path.is_dir() and (shards_index.is_ours(path) or bool(shards_index.archives(path))))


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    """The parts are those of the index, or as the archives are named; without a held-out one, a share is set aside.

    Raises BadInput for classes with gaps, DamagedFile for an index or an archive that is cut, altered or hostile.
    """
    place: Place
    if shards_fetch.means(spec):
        index, classes, fetched = shards_fetch.opened(spec)
        place, shards = fetched, Shards(index, classes, fetched, Listings(index, classes))
    elif shards_index.is_ours(Path(spec)):
        index, classes = shards_index.read(Path(spec))
        place, shards = Folder(Path(spec)), Shards(index, classes, Folder(Path(spec)), Listings(index, classes))
    else:
        index, known = shards_index.scanned(Path(spec))
        classes = np.concatenate([one.classes for one in known])
        names = [f"{shard.name}/{member}" for shard, one in zip(index.shards, known, strict=True) for member in one.members]
        place, shards = Folder(Path(spec)), Shards(index, classes, Folder(Path(spec)), Listings(index, classes, known), names)
    parts = _parts(shards, place.near, seed, held_out)
    return Dataset(spec, index.labels, parts, index.native_size, index.photos, index.named)


class Place(Protocol):
    """Where shards are. `near`: whether any image can be read at any time, at no more than the cost of reading it."""

    near: bool

    def path(self, shard: Shard) -> Path:
        """The archive as a file. It may vanish again."""

    def stamp(self, shard: Shard) -> object: ...


class Folder:
    near = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, shard: Shard) -> Path:
        return self.root / shard.name

    def stamp(self, shard: Shard) -> object:
        return stamp_of(self.path(shard))


class Shards:
    """All images of an index, by their number in it; `names`, where others wrote the shards, as they call them."""

    def __init__(
        self, index: ShardIndex, classes: np.ndarray, place: Place, listings: Listings, names: Sequence[str] | None = None
    ) -> None:
        self.index, self.classes, self.place, self.listings = index, classes, place, listings
        self.ends = np.cumsum([shard.samples for shard in index.shards])
        self.names = names or Names(self)
        self.stamps: dict[int, object] = {}

    def images(self, numbers: Sequence[int]) -> Images:
        """The images of these shards."""
        chosen = [np.arange(self.ends[n] - self.index.shards[n].samples, self.ends[n]) for n in numbers]
        groups = np.repeat(np.array(numbers, np.int64), [len(part) for part in chosen])
        of = np.concatenate(chosen)
        return Images(
            Chosen(self.names, of),
            self.classes[of],
            lambda i: self.open(int(of[i])),
            lambda i: self.content(int(of[i])),
            lambda i: self.stamp(int(of[i])),
            groups,
            None if self.place.near else lambda number: self.fetch(number),
        )

    def at(self, image: int) -> tuple[int, int]:
        """The shard of an image, and its place in that."""
        shard = int(np.searchsorted(self.ends, image, side="right"))
        return shard, image - int(self.ends[shard]) + self.index.shards[shard].samples

    def open(self, image: int) -> Image.Image:
        content, name = self._read(image)
        return image_of(content, name)

    def content(self, image: int) -> bytes:
        return self._read(image)[0]

    def _read(self, image: int) -> tuple[bytes, str]:
        """The bytes of an image, and its member and shard in words. A shard that others let go of meanwhile is fetched again."""
        number, nth = self.at(image)
        shard = self.index.shards[number]
        for _ in range(3):
            path = self.place.path(shard)
            try:
                listed = self.listings(number, path)
                with path.open("rb") as file:
                    content = os.pread(file.fileno(), listed.sizes[nth], listed.offsets[nth])
            except FileNotFoundError:
                continue
            name = f"{listed.members[nth]} of {shard.name}"
            if len(content) != listed.sizes[nth]:
                raise DamagedFile(f"cut: {name}: {path}")
            return content, name
        raise DamagedFile(f"no such shard: {path}")

    def stamp(self, image: int) -> object:
        number, nth = self.at(image)
        if number not in self.stamps:
            self.stamps[number] = self.place.stamp(self.index.shards[number])
        return [self.stamps[number], nth]

    def fetch(self, number: int) -> None:
        self.place.path(self.index.shards[number])


class Names(Sequence[str]):
    """An image is called by its shard and its place in that: of millions of images no list of names is held."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def __len__(self) -> int:
        return int(self._shards.ends[-1])

    def __getitem__(self, image: int) -> str:  # type: ignore[override]
        shard, nth = self._shards.at(image)
        return f"{self._shards.index.shards[shard].name}/{nth:06d}"


class Chosen(Sequence[str]):
    """Those of `names` at the places `of`."""

    def __init__(self, names: Sequence[str], of: np.ndarray) -> None:
        self._names, self._of = names, of

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, i: int) -> str:  # type: ignore[override]
        return self._names[int(self._of[i])]


def _parts(shards: Shards, near: bool, seed: int, share: float) -> Divided | Undivided:
    numbers = {part: [n for n, shard in enumerate(shards.index.shards) if shard.part == part] for part in PARTS}
    if not near and numbers["val"] == numbers["test"] == [] and len(numbers["train"]) > 1:
        numbers["train"], numbers["val"] = _aside(shards.index, numbers["train"], seed, share)
    train, val, test = (shards.images(numbers[part]) if numbers[part] else None for part in PARTS)
    return divided(train, val, test, seed, share)


def _aside(index: ShardIndex, numbers: list[int], seed: int, share: float) -> tuple[list[int], list[int]]:
    """Whole shards set aside until they hold the `share`, in the order of a hash: (train, held out).

    A share of each class would lie in all of them, and all would be fetched after each epoch. Shards are written in no order.
    """
    order = sorted(numbers, key=lambda n: hashlib.sha256(f"{seed}/{index.shards[n].name}".encode()).digest())
    held, count = [order[0]], index.shards[order[0]].samples
    for number in order[1:-1]:
        if count >= share * index.samples:
            break
        held.append(number)
        count += index.shards[number].samples
    return sorted(set(numbers) - set(held)), sorted(held)
