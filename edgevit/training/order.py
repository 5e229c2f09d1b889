"""In what order the images of an epoch are seen, by whom, and what is left of it after an interruption.

It follows from the seed and the number of the epoch alone, so that no position of a random generator has to be kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgevit.training.position import Learned


def batches(images: int, seed: int, epoch: int, size: int, workers: int, before: tuple[Learned, ...]) -> list[tuple[Tensor, ...]]:
    """The batches that are left of the epoch: of each, the positions of the images that every worker takes, in turn.

    `size` images make a batch, of all workers together; the last may have fewer, and a worker none.
    """
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    left = order.split(size)[sum(part.batches for part in before) :]
    return [chunk.tensor_split(workers) for chunk in left]
