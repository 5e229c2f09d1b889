"""Decoded images, kept after their first decoding: in memory where they fit there, else in a file of the cache.

In the file every image has a place of its own by its number: a hash of its pixels and its number, and the pixels. What a kill, a
power cut, a full disk or another process that writes at the same time leaves half written has not the hash that stands before it,
and is decoded again. The file is read and written by calls, not mapped: a mapped file that somebody cuts, or that a full disk
cannot hold, ends the process.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from edgevit import cache, kept, record
from edgevit.data import decoding, preprocess
from edgevit.data.dataset import Images
from edgevit.types import Preprocess
from edgevit.versions import versions

IN_MEMORY = 4 << 30
"""Bytes."""
LIMIT_GB = 50.0
SHARE = 0.5
"""Of what is free on the disk, the most that one set of images may take."""
MARK = 8
"""Bytes of the hash before each image's pixels."""
FILE, READ = "pixels", "read.json"


class Decoded(Protocol):
    """What keeps pixels (height, width, 3) uint8 by the number of their image."""

    where: str

    def take(self, number: int, row: np.ndarray) -> bool:
        """Fill `row` with the pixels, or say that they are not there: then `row` may hold anything."""

    def keep(self, number: int, pixels: np.ndarray) -> None: ...


class InMemory:
    """Memory is taken as images come."""

    where = "memory"

    def __init__(self, images: int, preprocess: Preprocess) -> None:
        self.pixels = np.empty((images, *preprocess.crop, 3), np.uint8)
        self.there = np.zeros(images, bool)

    def take(self, number: int, row: np.ndarray) -> bool:
        if self.there[number]:
            row[:] = self.pixels[number]
        return bool(self.there[number])

    def keep(self, number: int, pixels: np.ndarray) -> None:
        self.pixels[number] = pixels
        self.there[number] = True


class OnDisk:
    """Pixels in a file in the folder `place`. `bad` are the numbers of the unreadable ones, once all have been read."""

    def __init__(self, place: Path) -> None:
        self.file = os.fdopen(os.open(place / FILE, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        self.place, self.where, self.full = place, str(place), False

    def take(self, number: int, row: np.ndarray) -> bool:
        size = MARK + row.nbytes
        found = os.pread(self.file.fileno(), size, number * size)
        if len(found) < size or found[:MARK] != _mark(number, memoryview(found)[MARK:]):
            return False
        row[:] = np.frombuffer(found, np.uint8, offset=MARK).reshape(row.shape)
        return True

    def keep(self, number: int, pixels: np.ndarray) -> None:
        if self.full:
            return
        content = pixels.tobytes()
        try:
            os.pwrite(self.file.fileno(), _mark(number, content) + content, number * (MARK + len(content)))
        except OSError:  # no space left: what is there stays of use
            self.full = True

    def bad(self, images: int) -> tuple[int, ...] | None:
        """Of those that were all read once, the unreadable ones; None where that is not known."""
        try:
            found = record.decode((self.place / READ).read_bytes(), tuple[int, ...])
        except (OSError, ValueError):
            return None
        return found if all(0 <= number < images for number in found) else None

    def all_read(self, bad: Iterable[int]) -> None:
        """Remember that all of them were read once."""
        partial = self.place / f".{READ}.{os.getpid()}"
        try:
            partial.write_text(json.dumps(sorted(bad)))
            os.replace(partial, self.place / READ)
        except OSError:
            self.full = True


def _mark(number: int, pixels: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(number.to_bytes(8, "little"), digest_size=MARK)
    digest.update(pixels)
    return digest.digest()


def on_disk(images: Images, preprocess: Preprocess) -> OnDisk | None:
    """The file of these images in the cache; None where there can be none, or where it would be too large.

    It may take EDGEVIT_PIXELS_GB, by default 50, together with those of other images, of which the least recently used go, and
    half of what is free on the disk. Raises BadInput for a limit that is no number.
    """
    most = kept.limit("EDGEVIT_PIXELS_GB", LIMIT_GB)
    needed = len(images) * (MARK + math.prod(preprocess.crop) * 3)
    root = kept.own(kept.PIXELS) if images.stamp and needed <= most else None
    if root is None:
        return None
    place = root / _key(images, preprocess)
    try:
        if not place.is_dir():
            if not kept.make_room(root, needed, most) or needed > SHARE * shutil.disk_usage(root).free:
                return None
            place.mkdir(mode=0o700, exist_ok=True)
        kept.used(place)
        return OnDisk(place)
    except OSError:
        return None


def _key(images: Images, how: Preprocess) -> str:
    """Of all that the pixels depend on."""
    assert images.stamp
    known = hashlib.sha256()
    for i, name in enumerate(images.names):
        known.update(json.dumps([name, images.stamp(i)]).encode(errors="surrogatepass"))
    program = [inspect.getsource(module) for module in (preprocess, decoding)]
    steps = [how.resize, how.crop, how.interpolation, how.aspect]
    return cache.key([known.hexdigest(), program, steps, versions("pillow", "numpy")])
