"""In what order the images of an epoch are seen, by whom, and what is left of it after an interruption.

It follows from the seed and the number of the epoch alone, so that no position of a random generator has to be kept.

Images that lie in shards (`groups`) are seen shard after shard, so that a worker needs few of them at a time, and only its own.
The shards of the epoch, in an order of its own, are one long row of images; each worker has a piece of it, as long as its share
of all batches. So no worker is done before another, whatever the shards hold, and a shard that lies across an end of a piece
belongs to the two workers that meet there. Within a piece an image is seen up to `WINDOW` shards later than its shard begins.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgevit.training.position import Learned

WINDOW = 4
"""Shards that a worker mixes: an image is drawn from these at any time."""


def batches(
    images: int,
    seed: int,
    epoch: int,
    size: int,
    workers: int,
    before: tuple[Learned, ...],
    groups: Tensor | None = None,
) -> list[tuple[Tensor, ...]]:
    """The batches that are left of the epoch: of each, the positions of the images that every worker takes, in turn.

    `size` images make a batch, of all workers together; the last may have fewer, and a worker none. With `groups`, the shard of
    each image (images), see above. Over all workers and all parts of an epoch every image is seen once.
    """
    random = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if groups is None:
        left = torch.randperm(images, generator=random).split(size)[sum(part.batches for part in before) :]
        return [chunk.tensor_split(workers) for chunk in left]
    return _by_shard(groups, size, workers, before, random)


def _by_shard(
    groups: Tensor, size: int, workers: int, before: tuple[Learned, ...], random: torch.Generator
) -> list[tuple[Tensor, ...]]:
    """What was learned is dealt once more, as it was then; what that left is dealt to the present workers."""
    shards, of = torch.unique(groups, return_inverse=True)
    place = torch.randperm(len(shards), generator=random)[of]
    left, dealt = torch.arange(len(groups)), list[tuple[Tensor, ...]]()
    for part in _joined((*before, Learned(workers, 0))):
        dealt = _dealt(left, place, size, part.workers, random)[part.batches :]
        left = torch.cat([left[:0], *(share for batch in dealt for share in batch)]).sort().values
    return dealt


def _joined(parts: tuple[Learned, ...]) -> list[Learned]:
    """Parts by equally many workers, one after the other, are one: who goes on as before goes on where it was."""
    joined: list[Learned] = []
    for part in (*(part for part in parts[:-1] if part.batches), parts[-1]):
        if joined and joined[-1].workers == part.workers:
            joined[-1] = Learned(part.workers, joined[-1].batches + part.batches)
        else:
            joined.append(part)
    return joined


def _dealt(left: Tensor, place: Tensor, size: int, workers: int, random: torch.Generator) -> list[tuple[Tensor, ...]]:
    """Batches of the images `left` (n), by worker. `place` says for each image of all where its shard comes in the epoch."""
    if not len(left):
        return []
    inside = torch.rand(len(left), generator=random, dtype=torch.float64)
    row = left[torch.argsort(place[left] + inside, stable=True)]
    shares = list(zip(*([len(share) for share in chunk.tensor_split(workers)] for chunk in row.split(size)), strict=True))
    pieces = row.split([sum(share) for share in shares])
    mixed = [_mixed(piece, place, random).split(list(share)) for piece, share in zip(pieces, shares, strict=True)]
    return list(zip(*mixed, strict=True))


def _mixed(piece: Tensor, place: Tensor, random: torch.Generator) -> Tensor:
    """The images of a worker in its order."""
    _, nth = torch.unique(place[piece], return_inverse=True)
    late = WINDOW * torch.rand(len(piece), generator=random, dtype=torch.float64)
    return piece[torch.argsort(nth + late, stable=True)]
