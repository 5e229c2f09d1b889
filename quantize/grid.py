"""The grids that weights are rounded to: integers with their scales, or a palette. Matrices are (out, in), float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgevit.types import Weights

SHRINK = torch.linspace(1.0, 0.5, 26)
"""Shares of the largest weight that are tried for the end of a scale: a few clipped weights may let all others be finer."""
SMALLEST = 2.0**-14
"""Of a group's scale: the least normal float16."""
ROUNDS = 40
"""Of k-means."""


class Grid(Protocol):
    """What the weights of one matrix may be."""

    def nearest(self, weight: Tensor, columns: Tensor) -> Tensor:
        """The place of the nearest value for each weight (out, n), of the `columns` (n) of the matrix."""
        ...

    def values(self, places: Tensor, columns: Tensor) -> Tensor:
        """What stands at these places."""
        ...


@dataclass(frozen=True)
class Integers:
    """-largest..largest times a scale for each row and group of columns: `scale` (out, groups)."""

    scale: Tensor
    largest: int
    columns: int

    def nearest(self, weight: Tensor, columns: Tensor) -> Tensor:
        return (weight / self._of(columns)).round().clamp(-self.largest, self.largest).to(torch.int8)

    def values(self, places: Tensor, columns: Tensor) -> Tensor:
        return places * self._of(columns)

    def _of(self, columns: Tensor) -> Tensor:
        return self.scale[:, columns // (self.columns // self.scale.shape[1])]


@dataclass(frozen=True)
class Palette:
    """`colours` (2^bits), ascending, for the whole matrix."""

    colours: Tensor

    def nearest(self, weight: Tensor, columns: Tensor) -> Tensor:
        between = (self.colours[1:] + self.colours[:-1]) / 2
        return torch.bucketize(weight.contiguous(), between).to(torch.uint8)

    def values(self, places: Tensor, columns: Tensor) -> Tensor:
        return self.colours[places.long()]


def grid(weight: Tensor, form: Weights, importance: Tensor | None = None) -> Integers | Palette:
    """A grid of `form` for `weight`. Where the `importance` (in) of the columns is known, the one with the least weighted error.

    Without it a scale ends at the largest weight.
    """
    if form.kind == "palette":
        return Palette(_colours(weight, 2**form.bits, importance))
    largest = 2 ** (form.bits - 1) - 1
    groups = weight.shape[1] // form.group if form.group else 1
    blocks = weight.reshape(len(weight), groups, -1)
    whole = blocks.abs().amax(2) / largest
    if importance is None:
        return Integers(_held(whole, form), largest, weight.shape[1])
    weights = importance.reshape(groups, -1)
    best, least = whole, torch.full_like(whole, torch.inf)
    for share in SHRINK:
        scale = _held(whole * share, form)
        rounded = (blocks / scale[..., None]).round().clamp(-largest, largest) * scale[..., None]
        error = ((rounded - blocks).square() * weights).sum(2)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return Integers(best, largest, weight.shape[1])


def _held(scale: Tensor, form: Weights) -> Tensor:
    """The scale as every back end can hold it: that of a group is rounded up to 8 significant bits.

    XNNPACK stores it as bfloat16, TFLite and Core ML as float16.
    """
    if not form.group:
        return scale.clamp_min(torch.finfo(scale.dtype).tiny)
    bits = scale.clamp_min(SMALLEST).contiguous().view(torch.int32)
    return ((bits + 0xFFFF) & ~0xFFFF).view(torch.float32)


def _colours(weight: Tensor, count: int, importance: Tensor | None) -> Tensor:
    """Centres of the weighted k-means of all weights (Lloyd 1982): in one dimension clusters are runs of the sorted ones."""
    values, order = weight.flatten().sort()
    mass = torch.ones_like(weight) if importance is None else importance.expand_as(weight).clamp_min(1e-12)
    mass = mass.flatten()[order].double()
    total, moment = (torch.cat([torch.zeros(1, dtype=torch.double), x.cumsum(0)]) for x in (mass, mass * values))
    centres = _spread(values, mass, count)
    for _ in range(ROUNDS):
        ends = torch.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        ends = torch.cat([torch.tensor([0]), ends, torch.tensor([len(values)])])
        inside = total[ends].diff()
        means = (moment[ends].diff() / inside.clamp_min(1e-30)).float()
        centres = torch.where(inside > 0, means, centres).sort().values
    return centres


def _spread(values: Tensor, mass: Tensor, count: int) -> Tensor:
    """Where to begin: by the cube root of the density, which many fine clusters of least error follow (Panter and Dite 1951)."""
    bins = 1024
    low, high = float(values[0]), float(values[-1])
    if high <= low:
        return torch.full((count,), low)
    places = ((values - low) / (high - low) * bins).long().clamp_max(bins - 1)
    density = torch.zeros(bins, dtype=torch.double).index_add_(0, places, mass)
    share = density.pow(1 / 3).cumsum(0)
    wanted = (torch.arange(count) + 0.5) / count * share[-1]
    return (low + (torch.searchsorted(share, wanted) + 0.5) / bins * (high - low)).float()
