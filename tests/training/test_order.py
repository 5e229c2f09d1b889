"""Every image of an epoch is seen once, whoever sees it, and whatever interrupts it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgevit.training.order import WINDOW, Learned, batches

HISTORIES = st.lists(st.builds(Learned, st.integers(1, 5), st.integers(0, 6)), max_size=3).map(tuple)
SHARDS = st.lists(st.integers(1, 30), min_size=1, max_size=12)
"""How many images each shard holds."""


def _groups(shards: list[int]) -> Tensor:
    """The images of several shards lie side by side, and a shard may have no image in this part."""
    return torch.repeat_interleave(torch.arange(len(shards)) * 3 + 7, torch.tensor(shards))


def _flat(found: list[tuple[Tensor, ...]]) -> list[int]:
    return [i for batch in found for share in batch for i in share.tolist()]


@settings(max_examples=300)
@given(SHARDS, st.integers(1, 40), st.integers(1, 6), HISTORIES, st.booleans(), st.integers(0, 3))
def test_every_image_once_over_all_workers_and_parts(
    shards: list[int], size: int, workers: int, history: tuple[Learned, ...], sharded: bool, epoch: int
) -> None:
    images = sum(shards)
    groups = _groups(shards) if sharded else None
    seen: list[int] = []
    done: tuple[Learned, ...] = ()
    for part in (*history, Learned(workers, 1 << 30)):
        left = batches(images, 5, epoch, size, part.workers, done, groups)
        assert all(len(batch) == part.workers for batch in left)
        learned = left[: part.batches]
        seen += _flat(learned)
        done = (*done, Learned(part.workers, len(learned)))
    assert sorted(seen) == list(range(images))
    assert _flat(batches(images, 5, epoch, size, workers, done, groups)) == []


@settings(max_examples=200)
@given(SHARDS, st.integers(1, 40), st.integers(1, 6), HISTORIES, st.booleans())
def test_a_batch_has_its_size_and_every_worker_its_share(
    shards: list[int], size: int, workers: int, history: tuple[Learned, ...], sharded: bool
) -> None:
    """However uneven the shards are: none but the last batch is smaller, and no worker waits for another."""
    images = sum(shards)
    found = batches(images, 1, 2, size, workers, history, _groups(shards) if sharded else None)
    sizes = [sum(map(len, batch)) for batch in found if any(map(len, batch))]
    assert all(number == size for number in sizes[:-1]) and all(0 < number <= size for number in sizes[-1:])
    assert sum(sizes) == max(0, images - size * sum(part.batches for part in history))
    assert all(max(map(len, batch)) - min(map(len, batch)) <= 1 for batch in found)


@given(SHARDS, st.integers(1, 20), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_who_goes_on_as_before_goes_on_where_it_was(
    shards: list[int], size: int, workers: int, first: int, second: int, sharded: bool
) -> None:
    groups = _groups(shards) if sharded else None
    whole = batches(sum(shards), 0, 1, size, workers, (), groups)
    history = (Learned(workers, first), Learned(workers + 1, 0), Learned(workers, second))
    went_on = batches(sum(shards), 0, 1, size, workers, history, groups)
    assert _flat(went_on) == _flat(whole[first + second :])


@settings(max_examples=200)
@given(SHARDS, st.integers(1, 20), st.integers(1, 5), HISTORIES)
def test_a_worker_needs_few_shards_at_a_time_and_its_own_alone(
    shards: list[int], size: int, workers: int, history: tuple[Learned, ...]
) -> None:
    groups = _groups(shards)
    found = batches(sum(shards), 3, 1, size, workers, history, groups)
    needed = []
    for worker in range(workers):
        row = [int(groups[i]) for batch in found for i in batch[worker].tolist()]
        places = {shard: [at for at, other in enumerate(row) if other == shard] for shard in set(row)}
        open_at_once = [sum(p[0] <= at <= p[-1] for p in places.values()) for at in range(len(row))]
        assert max(open_at_once, default=0) <= WINDOW
        needed.append(set(places))
    meetings = sum(map(len, needed)) - len(set().union(*needed))
    assert meetings <= workers - 1  # a shard across an end belongs to the two that meet there


def test_images_are_mixed_and_each_epoch_otherwise() -> None:
    groups = _groups([50] * 40)
    one, two = (torch.tensor(_flat(batches(2000, 0, epoch, 32, 1, (), groups))) for epoch in (1, 2))
    assert not torch.equal(one, two)
    shards = groups[one]
    changes = int((shards[1:] != shards[:-1]).sum())
    assert changes > 2000 / 2  # by chance alone, one of four follows in the same shard
    first = [int(shard) for shard in dict.fromkeys(shards.tolist())]
    assert first != sorted(first)


def test_the_seed_decides() -> None:
    groups = _groups([10] * 9)
    once, again, other = (_flat(batches(90, seed, 1, 8, 2, (Learned(3, 2),), groups)) for seed in (1, 1, 2))
    assert once == again and once != other


@pytest.mark.parametrize("sharded", [False, True])
def test_more_workers_than_images_in_a_batch(sharded: bool) -> None:
    found = batches(5, 0, 1, 2, 4, (), _groups([2, 3]) if sharded else None)
    assert [[len(share) for share in batch] for batch in found] == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]]
    assert sorted(_flat(found)) == [0, 1, 2, 3, 4]
