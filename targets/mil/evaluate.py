"""A saved package, called like the model that it came from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevit.errors import BadInput, DamagedFile
from targets.mil import program
from targets.mil.magnitudes import overflow

MOST = 3
"""Operators that are named."""


class Evaluator:
    """A `Runner` that reads the saved file and computes it with torch, each result rounded as Core ML stores it.

    The package takes one image at a time; its program is mapped over a batch, and no shape in it is rewritten. Raises
    DamagedFile where the package is not whole, EdgevitError where it holds an operation that is not known here.
    """

    where = "reference"
    threads: int | None = None

    def __init__(self, path: Path) -> None:
        self._images, self._overflows = 0, Counter[str]()
        self._program = program.read(path)
        if len(self._program.image.shape) != 4 or self._program.image.shape[0] != 1:
            raise DamagedFile(f"its input is {self._program.image.shape}, not one image (1, 3, H, W): {path}")
        if len(self._program.logits.shape) != 2 or self._program.logits.shape[0] != 1:
            raise DamagedFile(f"its output is {self._program.logits.shape}, not logits (1, classes): {path}")
        self._batched = self._program.mapped(self._program.watched)

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Images (N, 3, H, W) float32, preprocessed, to logits (N, classes) float32. Raises BadInput.

        Of a package that takes images: uint8 (N, H, W, 3) to probabilities.
        """
        if self._program.pixels:
            images = images.transpose(0, 3, 1, 2)
        size = self._program.image.shape[1:]
        if images.ndim != 4 or images.shape[1:] != size:
            wanted = ", ".join(map(str, size))
            raise BadInput(f"images of shape {images.shape}, where {self._program.package} takes (N, {wanted})")
        if not len(images):
            return np.empty((0, self._program.logits.shape[1]), np.float32)
        with torch.no_grad():
            batch = torch.tensor(images, dtype=torch.float32).unsqueeze(1)
            logits, watched = self._batched(batch)
            self._note(batch, watched)
            return logits.squeeze(1).numpy()

    def _note(self, batch: Tensor, watched: Tensor) -> None:
        """Count the images, and those of them that overflow by where they do first."""
        self._images += len(batch)
        found = (overflow(self._program, image) for image in batch[watched.isnan()])
        self._overflows.update(filter(None, found))

    @property
    def faults(self) -> str:
        """Where float16 overflowed on the way to the answers that were given so far; empty where it did not."""
        first = ", ".join(f"{name}: {count}" for name, count in self._overflows.most_common(MOST))
        return f"float16 overflows for {self._overflows.total()} of {self._images} images, first at {first}" if first else ""
