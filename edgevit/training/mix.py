"""Images mixed with each other, and pieces of them taken out: mixup, cutmix and random erasing, in batches."""

from __future__ import annotations

import torch
from torch import Tensor

from edgevit.data.drawing import Draws

MIXUP_ALPHA, CUTMIX_ALPHA = 0.8, 1.0
"""Of the Beta distributions of the shares, as DeiT's (arXiv 2012.12877, table 9)."""
ERASED = (0.02, 0.33)
"""Share of the image that erasing takes out (arXiv 1708.04896)."""


def mixed(images: Tensor, targets: Tensor, mixup: float, cutmix: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """With the probability `mixup` the batch (N, 3, H, W) and its targets (N, classes) are blended with another order of it

    (arXiv 1710.09412), with `cutmix` a box of each is taken from the other (arXiv 1905.04899), else nothing is done.
    """
    draw = draws.one()
    if draw >= mixup + cutmix:
        return images, targets
    order = draws.order().to(images.device, non_blocking=True)
    share = _beta(MIXUP_ALPHA if draw < mixup else CUTMIX_ALPHA, draws.generator)
    if draw < mixup:
        images = images * share + images[order] * (1 - share)
    else:
        top, bottom, left, right = _box(images.shape[-2:], 1 - share, 1.0, draws.one(), draws.one())
        images = images.clone()
        images[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
        height, width = images.shape[-2:]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    return images, targets * share + targets[order] * (1 - share)


def erased(images: Tensor, share: float, draws: Draws) -> Tensor:
    """Normalised images (N, 3, H, W); of the given share of them a box is replaced by noise, which the device draws."""
    drawn = draws.uniform(5)
    hit = (drawn[:, 0] < share).nonzero().flatten()
    if not len(hit):
        return images
    boxes = torch.tensor([_erased_box(images.shape[-2:], *numbers) for numbers in drawn[hit, 1:].tolist()])
    hit, (top, bottom, left, right) = hit.to(images.device), boxes.to(images.device).T[..., None, None]
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[-2:])
    inside = (rows[:, None] >= top) & (rows[:, None] < bottom) & (columns >= left) & (columns < right)
    chosen = images[hit]
    return images.index_copy(0, hit, torch.where(inside[:, None], torch.randn_like(chosen), chosen))


def _erased_box(size: torch.Size, area: float, ratio: float, y: float, x: float) -> tuple[int, int, int, int]:
    """Numbers in 0..1 to a box of the sizes and shapes that are erased."""
    return _box(size, ERASED[0] + area * (ERASED[1] - ERASED[0]), 0.3 * (1 / 0.3**2) ** ratio, y, x)


def _beta(alpha: float, random: torch.Generator) -> float:
    """From Beta(alpha, alpha), as the ratio of two draws from Gamma(alpha)."""
    a, b = torch._standard_gamma(torch.tensor([alpha, alpha], dtype=torch.float64), generator=random).tolist()
    return float(a / max(a + b, 1e-12))


def _box(size: torch.Size, area: float, ratio: float, y: float, x: float) -> tuple[int, int, int, int]:
    """A box (top, bottom, left, right) of about that share of the area around the place (y, x) in 0..1, cut at the margin."""
    height, width = size
    down, across = height * (area * ratio) ** 0.5, width * (area / ratio) ** 0.5
    top, left = int(y * height - down / 2), int(x * width - across / 2)
    bottom, right = int(y * height + down / 2), int(x * width + across / 2)
    return max(0, top), min(height, bottom), max(0, left), min(width, right)
