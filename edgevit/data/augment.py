"""Random changes to training images, in batches, on the device that trains. One affine map per image, one resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevit.data.drawing import Draws
from edgevit.data.randaugment import randaugment


@dataclass(frozen=True)
class Augment:
    """Ranges: `turn` in degrees both ways, `zoom` as the visible fraction of a side, `shift` as a fraction of a side.

    Then `operations` of RandAugment, each of about `strength` (0 to 1).
    """

    turn: float
    zoom: tuple[float, float]
    shift: float
    mirror: bool
    operations: int = 0
    strength: float = 0.0


AUGMENTS = {
    "none": Augment(turn=0, zoom=(1.0, 1.0), shift=0, mirror=False),
    "light": Augment(turn=5, zoom=(0.95, 1.05), shift=0.05, mirror=False),
    "photo": Augment(turn=5, zoom=(0.6, 1.0), shift=0.15, mirror=True),
    "strong": Augment(turn=0, zoom=(0.5, 1.0), shift=0.2, mirror=True, operations=2, strength=0.5),
}
"""`light` for drawings and scans, where a mirrored image is another one; `photo` for photographs; `strong` for many epochs."""


def augment(images: Tensor, how: Augment, draws: Draws) -> Tensor:
    """Images (N, 3, H, W) in 0..1 moved, turned, zoomed and mirrored at random; the edge pixels fill what comes into view.

    The random numbers are drawn on the CPU, so that a run does not depend on the device.
    """
    if how == AUGMENTS["none"]:
        return images
    moved = _moved(images, how, draws)
    return randaugment(moved, how.operations, how.strength, draws) if how.operations else moved


def _moved(images: Tensor, how: Augment, draws: Draws) -> Tensor:
    n = len(images)
    turn, zoom, right, down, mirror = draws.uniform(5).unbind(1)
    angle = (2 * turn - 1) * math.radians(how.turn)
    scale = how.zoom[0] + zoom * (how.zoom[1] - how.zoom[0])
    flip = torch.where(mirror < 0.5, -1.0, 1.0) if how.mirror else torch.ones(n)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    move = 2 * how.shift  # the sampling grid runs from -1 to 1
    height, width = images.shape[-2:]
    tall = height / width  # both sides of the grid are 2 long, whatever the image's are
    rows = [cos * flip, -sin * tall, (2 * right - 1) * move, sin * flip / tall, cos, (2 * down - 1) * move]
    maps = torch.stack(rows, dim=1).reshape(n, 2, 3).to(images, non_blocking=True)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
