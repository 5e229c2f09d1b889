"""Training images as uint8 pixels: held in memory where they fit, else decoded when they are due, one batch ahead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from edgevit.data.dataset import Images
from edgevit.data.loading import Loader
from edgevit.types import Preprocess, Progress

HELD_BYTES = 4 << 30


class Pixels:
    """Readable images with their classes. Every image is decoded once at the start, so that a bad one is found then."""

    def __init__(self, images: Images, preprocess: Preprocess, on_bad: str, progress: Progress) -> None:
        loader = Loader(images, preprocess, on_bad)
        self.preprocess = preprocess
        self.waited = 0.0
        self.held = None
        if len(images) * math.prod(preprocess.crop) * 3 <= HELD_BYTES:
            pixels, self.classes = loader.everything(progress)
            self.held = torch.from_numpy(pixels)
        else:
            for _ in loader.batches(256, progress, "reading images"):
                pass
            bad = set(loader.skipped)
            self.images = images.take([i for i, name in enumerate(images.names) if name not in bad])
            self.classes = self.images.classes
        self.skipped = sorted(loader.skipped)

    def __len__(self) -> int:
        return len(self.classes)

    def batches(self, chunks: Sequence[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(pixels uint8 (n, H, W, 3), classes (n)) of the images at the given positions."""
        if self.held is not None:  # a second thread would bring a second pool of OpenMP threads, and they get in each other's way
            yield from map(self._take, chunks)
            return
        with ThreadPoolExecutor(1) as ahead:
            due = ahead.submit(self._take, chunks[0])
            for upcoming in [*chunks[1:], None]:
                batch = due.result()
                if upcoming is not None:
                    due = ahead.submit(self._take, upcoming)
                yield batch

    def _take(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        classes = torch.from_numpy(self.classes[chosen.numpy()])
        if self.held is not None:
            return self.held[chosen], classes
        images = self.images.take(chosen.tolist())
        return torch.from_numpy(np.concatenate([p for p, _ in Loader(images, self.preprocess).batches(len(images))])), classes
