"""Pixels of many images: decoded by threads a few batches before they are due, and kept after that where there is room.

The threads decode and copy, and compute nothing by torch: a second thread that does brings a second pool of OpenMP threads, which
gets in the way of the training's own.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgevit.data.loading import Loader
from edgevit.errors import BadInput
from edgevit.training import decoded
from edgevit.training.decoded import Decoded, InMemory, OnDisk
from edgevit.training.fetching import Fetching
from edgevit.types import Progress

BATCHES = 3
"""How many are decoded before the one that is due."""
READ = 256
"""Images read at once when all are."""


@dataclass(frozen=True)
class Due:
    """A batch on its way: the numbers of its images, where their pixels go, and whether each can be read."""

    numbers: np.ndarray
    pixels: Tensor
    readable: list[Future[bool]]


class Ahead:
    """The images of `loader`, but for those that cannot be read, by their position among the others."""

    def __init__(self, loader: Loader, device: torch.device, progress: Progress) -> None:
        self.loader, self.device, images = loader, device, loader.images
        self.bad: set[int] = set()
        self.kept = _kept(loader)
        self.where = self.kept.where if self.kept else ""
        self.numbers = np.arange(len(images))
        if images.groups is None:
            self._read_all(progress)
            self.numbers = np.array(sorted(set(range(len(images))) - self.bad), np.int64)
        if not len(self.numbers):
            raise BadInput("not one image could be read", f"the first: {next(iter(loader.skipped), 'there is none')}")
        self.classes = torch.from_numpy(images.classes[self.numbers]).long()

    def __len__(self) -> int:
        return len(self.numbers)

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        fetching = Fetching(self.loader.images, [self.numbers[chunk.numpy()] for chunk in chunks])
        pool = ThreadPoolExecutor(os.cpu_count())
        waiting: deque[Due] = deque()
        try:
            for place, numbers in enumerate(fetching.chunks):
                fetching.soon(place)
                waiting.append(self._begun(numbers, pool))
                if len(waiting) > BATCHES:
                    yield self._done(waiting.popleft())
            while waiting:
                yield self._done(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)
            fetching.stop()

    def _begun(self, numbers: np.ndarray, pool: ThreadPoolExecutor) -> Due:
        """A GPU copies from pinned memory while the processor goes on."""
        shape = (len(numbers), *self.loader.preprocess.crop, 3)
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        rows = zip(numbers.tolist(), pixels.numpy(), strict=True)
        return Due(numbers, pixels, [pool.submit(self._read, number, row) for number, row in rows])

    def _done(self, due: Due) -> tuple[Tensor, Tensor]:
        readable = torch.tensor([future.result() for future in due.readable], dtype=torch.bool)
        pixels, classes = due.pixels, torch.from_numpy(self.loader.images.classes[due.numbers]).long()
        if not readable.all():
            pixels, classes = pixels[readable], classes[readable]
        return pixels.to(self.device, non_blocking=True), classes.to(self.device)

    def _read(self, number: int, row: np.ndarray) -> bool:
        if number in self.bad:
            return False
        if self.kept and self.kept.take(number, row):
            return True
        pixels = self.loader.read(number)
        if pixels is None:
            self.bad.add(number)
            return False
        row[:] = pixels
        if self.kept:
            self.kept.keep(number, pixels)
        return True

    def _read_all(self, progress: Progress) -> None:
        """Find the bad ones; those that an earlier reading found are looked at once more, and they alone."""
        count = len(self.loader.images)
        known = self.kept.bad(count) if isinstance(self.kept, OnDisk) else None
        numbers = np.arange(count) if known is None else np.array(known, np.int64)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(numbers), READ):
                due = self._begun(numbers[start : start + READ], pool)
                for future in due.readable:
                    future.result()
                progress("reading images", min(start + READ, len(numbers)), len(numbers))
        if isinstance(self.kept, OnDisk):
            self.kept.all_read(self.bad)


def _kept(loader: Loader) -> Decoded | None:
    size = len(loader.images) * math.prod(loader.preprocess.crop) * 3
    if size <= decoded.IN_MEMORY:
        return InMemory(len(loader.images), loader.preprocess)
    return decoded.on_disk(loader.images, loader.preprocess)
