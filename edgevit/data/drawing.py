"""The random numbers of one batch, which follow from where it stands in the run and from nothing else.

So no state of a generator has to be kept: a run that goes on, at any step, draws what it would have drawn. And each image has the
numbers that it would have if one worker had the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPOCHS, BATCHES = 1_000_003, 7_368_787
"""Primes, which keep the seeds of one run apart."""


@dataclass(frozen=True)
class Draws:
    """Of a batch of `whole` images, of which this worker has those from `start` to before `stop`."""

    generator: torch.Generator
    whole: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def uniform(self, *shape: int) -> Tensor:
        """In 0..1, of such a shape for each own image: (n, *shape)."""
        return torch.rand(self.whole, *shape, generator=self.generator)[self.start : self.stop]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.whole, *shape, generator=self.generator)[self.start : self.stop]

    def below(self, most: int, *shape: int) -> Tensor:
        """Integers from 0 to below `most`."""
        return torch.randint(most, (self.whole, *shape), generator=self.generator)[self.start : self.stop]

    def one(self) -> float:
        """The same for all images, and for all workers."""
        return float(torch.rand((), generator=self.generator))

    def order(self) -> Tensor:
        """A random one of the own images: no image ever leaves its worker."""
        return torch.randperm(self.whole, generator=self.generator)[self.start : self.stop].argsort()


def draws(seed: int, epoch: int, batch: int, whole: int, start: int, stop: int) -> Draws:
    """Of a batch of an epoch, both by their numbers. What a device draws for itself (stochastic depth) is seeded too."""
    place = seed * EPOCHS + epoch + batch * BATCHES
    torch.manual_seed(place + start)
    return Draws(torch.Generator().manual_seed(place), whole, start, stop)
