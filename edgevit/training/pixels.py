"""Training images as uint8 pixels on the device: held there where they fit, else decoded by threads before they are due."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from edgevit.data.dataset import Images
from edgevit.data.loading import Loader
from edgevit.training.ahead import Ahead
from edgevit.types import Preprocess, Progress

HELD_BYTES = 4 << 30
HELD_SHARE = 0.25
"""Of the memory that a GPU has free, what the images may take. Those held out come after those to train on."""

Batch = tuple[Tensor, Tensor]


class Source(Protocol):
    """Where pixels come from. `where` they are held or kept, in words; "" where they are decoded each time."""

    where: str

    def __len__(self) -> int: ...

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]: ...


class Pixels:
    """Readable images with their classes, by their position.

    Every image is decoded once at the start, so that a bad one is found then. Those in shards are not: there a bad one is found
    when it is due, and left out of its batch where `on_bad` is "skip". `skipped` are the names of those left out so far,
    `waited` the seconds for which batches have been waited for so far, `groups` (n) the shard of each image, where there are any.
    """

    def __init__(
        self,
        images: Images,
        preprocess: Preprocess,
        on_bad: str,
        progress: Progress,
        device: torch.device = torch.device("cpu"),  # noqa: B008  (a value, and never changed)
    ) -> None:
        self.preprocess, self.waited = preprocess, 0.0
        self.groups = None if images.groups is None else torch.from_numpy(images.groups)
        self._loader = Loader(images, preprocess, on_bad)
        fits = len(images) * math.prod(preprocess.crop) * 3 <= _room(device)
        self._source: Source
        if fits and self.groups is None:
            self._source = Held(self._loader, device, progress)
        else:
            self._source = Ahead(self._loader, device, progress)

    def __len__(self) -> int:
        return len(self._source)

    @property
    def skipped(self) -> list[str]:
        return sorted(set(self._loader.skipped))

    @property
    def where(self) -> str:
        return self._source.where

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """(pixels uint8 (n, H, W, 3), classes int64 (n)) on the device, of each chunk of positions in turn."""
        batches = self._source.batches(chunks)
        while True:
            began = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - began
            if batch is None:
                return
            yield batch


class Held:
    """All of them on the device. No other thread: it would bring a second pool of OpenMP threads, and they get in each other's

    way.
    """

    def __init__(self, loader: Loader, device: torch.device, progress: Progress) -> None:
        pixels = torch.empty((len(loader.images), *loader.preprocess.crop, 3), dtype=torch.uint8, device=device)
        classes, done = [], 0
        for batch, numbers in loader.batches(256, progress, "reading images"):
            pixels[done : done + len(batch)] = torch.from_numpy(batch).to(device)
            classes.append(torch.from_numpy(numbers).long())
            done += len(batch)
        self.pixels, self.classes, self.where = pixels[:done], torch.cat(classes).to(device), str(device)

    def __len__(self) -> int:
        return len(self.classes)

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        for chunk in chunks:
            chosen = chunk.to(self.classes.device)
            yield self._chosen(chosen), self.classes[chosen]

    def _chosen(self, places: Tensor) -> Tensor:
        """On the processor by numpy: torch would wake all its threads to copy what one copies in a millisecond."""
        if self.pixels.device.type == "cpu":
            return torch.from_numpy(self.pixels.numpy().take(places.numpy(), axis=0))
        return self.pixels.index_select(0, places)


def _room(device: torch.device) -> int:
    """Bytes that held images may take on the device."""
    if device.type == "cuda":
        return int(HELD_SHARE * torch.cuda.mem_get_info(device)[0])
    return HELD_BYTES
