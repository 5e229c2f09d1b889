"""Images into arrays: decoded by several threads, in order, with one rule for those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from edgevit.data.dataset import Images
from edgevit.data.preprocess import normalise, pixels
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Preprocess, Progress, silent


@dataclass
class Loader:
    """Reads `images` as `preprocess` says. An unreadable one raises DamagedFile, or with `on_bad` "skip" is left out and

    named in `skipped`. `split` says what part of their source they are.
    """

    images: Images
    preprocess: Preprocess
    on_bad: str = "refuse"
    split: str = ""
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.require_known(self.on_bad)

    @staticmethod
    def require_known(on_bad: str) -> None:
        if on_bad not in ("refuse", "skip"):
            raise BadInput(f"unknown --on-bad-image: {on_bad}", "known: refuse, skip")

    def batches(self, size: int, progress: Progress = silent, label: str = "reading") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(pixels uint8 (n, H, W, 3), classes (n)) for all images in order, n at most `size`. Raises BadInput for none."""
        self.skipped.clear()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(self.images), size):
                chosen = range(start, min(start + size, len(self.images)))
                decoded = list(pool.map(self.read, chosen))
                kept = [i for i, array in zip(chosen, decoded, strict=True) if array is not None]
                progress(label, chosen.stop, len(self.images))
                if kept:
                    yield np.stack([array for array in decoded if array is not None]), self.images.classes[kept]
        if len(self.skipped) == len(self.images):
            raise BadInput("not one image could be read", f"the first: {next(iter(self.skipped), 'there is none')}")

    def normalised(self, size: int, progress: Progress = silent, label: str = "") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same as the float32 (n, 3, H, W) that the model takes."""
        for batch, classes in self.batches(size, progress, label):
            yield normalise(batch, self.preprocess), classes

    def everything(self, progress: Progress = silent, label: str = "reading images") -> tuple[np.ndarray, np.ndarray]:
        """All pixels (N, H, W, 3) uint8 and classes (N) at once."""
        parts = list(self.batches(256, progress, label))
        return np.concatenate([p for p, _ in parts]), np.concatenate([c for _, c in parts])

    def read(self, i: int) -> np.ndarray | None:
        """The pixels (H, W, 3) of one image; None for an unreadable one that is left out. Threads may call it at once."""
        try:
            return pixels(self.images.open(i), self.preprocess)
        except DamagedFile as error:
            if self.on_bad == "refuse":
                raise DamagedFile(error.message, "--on-bad-image skip goes on without it") from error
            self.skipped.append(self.images.names[i])  # threads finish in any order: whoever shows it sorts it
            return None
