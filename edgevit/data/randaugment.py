"""RandAugment (Cubuk et al., arXiv 1909.13719) in batches, in plain torch: each image goes through operations drawn at random.

Every operation takes images (n, 3, H, W) in 0..1 and a strength for each (n, 1, 1, 1) in -1..1, and gives images. The ranges at
full strength are the paper's: its magnitude of 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevit.data.drawing import Draws

Operation = Callable[[Tensor, Tensor], Tensor]
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601, as Pillow has it)."""
FACTOR, SHEAR, SHIFT, TURN = 0.9, 0.3, 0.45, 30.0
"""At full strength: of colour factors around 1, of shear, of a shift as a fraction of the side, of a turn in degrees."""
JITTER = 0.05
"""Standard deviation of an image's strength around the one that was asked for."""


def randaugment(images: Tensor, operations: int, strength: float, draws: Draws) -> Tensor:
    """Images (N, 3, H, W) in 0..1, each changed by `operations` operations of about the given `strength` (0 to 1).

    The random numbers are drawn on the CPU, so that a run does not depend on the device.
    """
    for _ in range(operations):
        chosen = draws.below(len(OPERATIONS))
        drawn = draws.normal().mul(JITTER).add(strength).clamp(0, 1)
        sign = draws.below(2) * 2 - 1
        strengths = (drawn * sign).to(images).reshape(-1, 1, 1, 1)
        images = images.clone()
        for number, operation in enumerate(OPERATIONS):
            members = (chosen == number).nonzero().flatten().to(images.device)
            if len(members):
                images[members] = operation(images[members], strengths[members]).clamp(0, 1)
    return images


def _blend(other: Callable[[Tensor], Tensor]) -> Operation:
    """From the image towards `other` of it or, by a negative strength, away from it."""

    def operation(x: Tensor, s: Tensor) -> Tensor:
        base = other(x)
        return base + (x - base) * (1 + s * FACTOR)

    return operation


def _grey(x: Tensor) -> Tensor:
    return (x * x.new_tensor(GREY).reshape(1, 3, 1, 1)).sum(1, keepdim=True)


def _blurred(x: Tensor) -> Tensor:
    kernel = x.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div(13).expand(3, 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)


def _posterise(x: Tensor, s: Tensor) -> Tensor:
    """8 bits down to 4."""
    levels = 2 ** (8 - (4 * s.abs()).round())
    return (x * 255 / 256 * levels).floor() / levels * 256 / 255


def _solarise(x: Tensor, s: Tensor) -> Tensor:
    return torch.where(x >= 1 - s.abs(), 1 - x, x)


def _autocontrast(x: Tensor, s: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp_min(1e-6), x)


def _equalise(x: Tensor, s: Tensor) -> Tensor:
    """Each channel by the rank of its pixels: a pixel becomes the fraction of pixels that are darker."""
    flat = (x.flatten(2) * 255).round().long()
    counts = torch.zeros(*flat.shape[:2], 256, device=x.device).scatter_add_(2, flat, torch.ones_like(flat, dtype=torch.float32))
    darker = counts.cumsum(2) - counts
    brightest = darker.gather(2, flat.amax(2, keepdim=True))
    ranked = (darker.gather(2, flat) / brightest.clamp_min(1)).reshape(x.shape).to(x)
    return torch.where(brightest[..., None] > 0, ranked, x)  # a channel of one value has no order to show


def _moved(matrix: Callable[[Tensor], tuple[Tensor, ...]]) -> Operation:
    """An affine map whose six numbers follow from the strength (n), in sides of a square; what comes into view is mid-grey."""

    def operation(x: Tensor, s: Tensor) -> Tensor:
        s = s.flatten()
        maps = torch.stack([part.expand_as(s) for part in matrix(s)], dim=1).reshape(-1, 2, 3)
        tall = x.shape[2] / x.shape[3]  # the grid is 2 long both ways, whatever the image's sides are
        maps = maps * maps.new_tensor([[1, tall, 1], [1 / tall, 1, 1]])
        grid = F.affine_grid(maps, list(x.shape), align_corners=False)
        return F.grid_sample(x - 0.5, grid, align_corners=False) + 0.5

    return operation


def _turn(s: Tensor) -> tuple[Tensor, ...]:
    angle = s * math.radians(TURN)
    zero = torch.zeros_like(s)
    return angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero


def _affine(place: int, most: float) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The identity with `most` times the strength at one of its six places."""

    def matrix(s: Tensor) -> tuple[Tensor, ...]:
        one, zero = torch.ones_like(s), torch.zeros_like(s)
        parts = [one, zero, zero, zero, one, zero]
        parts[place] = parts[place] + s * most
        return tuple(parts)

    return matrix


OPERATIONS: tuple[Operation, ...] = (
    lambda x, s: x,
    _autocontrast,
    _equalise,
    _posterise,
    _solarise,
    _blend(torch.zeros_like),
    _blend(lambda x: _grey(x).mean((2, 3), keepdim=True).expand_as(x)),
    _blend(lambda x: _grey(x).expand_as(x)),
    _blend(_blurred),
    _moved(_turn),
    _moved(_affine(1, SHEAR)),
    _moved(_affine(3, SHEAR)),
    _moved(_affine(2, 2 * SHIFT)),
    _moved(_affine(5, 2 * SHIFT)),
)
"""Identity, autocontrast, equalise, posterise, solarise, brightness, contrast, colour, sharpness, turn, shears, shifts."""
