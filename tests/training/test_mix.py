"""What happens to images on their way into training: moved, mirrored, mixed, erased, RandAugment."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgevit.data.augment import AUGMENTS, augment
from edgevit.data.drawing import draws
from edgevit.data.randaugment import OPERATIONS, randaugment
from edgevit.training.mix import erased, mixed


def test_mirror_alone_moves_nothing() -> None:
    images = torch.rand(64, 3, 12, 12)
    how = dataclasses.replace(AUGMENTS["none"], mirror=True)
    found = augment(images, how, draws(0, 0, 0, 64, 0, 64))
    turned = [torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(found, images, strict=True)]
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(found, images, strict=True)]
    assert all(a != b for a, b in zip(turned, same, strict=True)) and 16 < sum(turned) < 48


def test_mixing() -> None:
    random = draws(0, 0, 0, 8, 0, 8)
    images, targets = torch.rand(8, 3, 16, 16), torch.eye(8)
    assert mixed(images, targets, 0.0, 0.0, random)[0] is images
    for mixup, cutmix in ((1.0, 0.0), (0.0, 1.0)):
        found, shares = mixed(images, targets, mixup, cutmix, random)
        assert not torch.equal(found, images) and found.min() >= 0 and found.max() <= 1
        assert torch.allclose(shares.sum(1), torch.ones(8)) and torch.equal(images, images.clone())
    whole = torch.zeros(8, 3, 16, 16)
    whole[0] = 1
    found, shares = mixed(whole, targets, 0.0, 1.0, random)
    assert torch.allclose(found.mean((1, 2, 3)), shares[:, 0], atol=1e-6)  # the share of a label is the share of its pixels


def test_erasing() -> None:
    images = torch.zeros(64, 3, 16, 16)
    found = erased(images, 0.5, draws(0, 0, 0, 64, 0, 64))
    hit = (found != 0).flatten(1).any(1)
    assert 0.3 < hit.float().mean() < 0.7 and not images.any()
    assert erased(images, 0.0, draws(0, 0, 0, 64, 0, 64)) is images


@pytest.mark.parametrize("number", range(len(OPERATIONS)))
def test_operations_of_randaugment(number: int) -> None:
    """Full strength changes an image within bounds, each way; no strength leaves it, but for those that know none."""
    images = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.05
    strong = OPERATIONS[number](images, torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(-1, 1, 1, 1))
    assert strong.shape == images.shape and strong.isfinite().all()
    assert number == 0 or not torch.allclose(strong, images, atol=1e-2)
    still = OPERATIONS[number](images, torch.zeros(4, 1, 1, 1))
    assert number in (1, 2) or torch.allclose(still, images, atol=1 / 255)


def test_randaugment_is_the_same_for_the_same_numbers() -> None:
    images = torch.rand(16, 3, 12, 12)
    once, again = (randaugment(images, 2, 0.5, draws(3, 0, 0, 16, 0, 16)) for _ in range(2))
    assert torch.equal(once, again) and not torch.equal(once, images) and once.min() >= 0 and once.max() <= 1
    assert not torch.equal(augment(images, AUGMENTS["strong"], draws(0, 0, 0, 16, 0, 16)), images)


def test_turns_and_shears_are_in_pixels_not_in_sides() -> None:
    """In an image twice as wide as high a disc stays one."""
    y, x = torch.meshgrid(torch.arange(32) - 15.5, torch.arange(64) - 31.5, indexing="ij")
    disc = ((x**2 + y**2) < 100).float().expand(1, 3, -1, -1)
    how = dataclasses.replace(AUGMENTS["none"], turn=180)
    for found in (augment(disc, how, draws(3, 0, 0, 1, 0, 1)), OPERATIONS[9](disc, torch.ones(1, 1, 1, 1))):
        difference = (found - disc)[..., 4:-4, 20:-20].abs()  # beyond, what comes into view is grey
        assert difference.mean() < 0.05 and difference.max() > 0


def test_equalised_channel_is_even() -> None:
    flat = torch.full((1, 3, 4, 4), 0.4)
    assert torch.equal(OPERATIONS[2](flat, torch.ones(1, 1, 1, 1)), flat)
    image = (torch.arange(256).reshape(1, 1, 16, 16) / 255).pow(3).expand(1, 3, -1, -1)
    found = OPERATIONS[2](image, torch.ones(1, 1, 1, 1))
    assert found.min() == 0 and found.max() == 1
    assert found.mean() > image.mean() + 0.1
