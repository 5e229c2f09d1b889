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
ROUNDS, BINS = 20, 1024
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
    """Centres of the weighted k-means of all weights. In one dimension clusters are runs of the sorted weights.

    The best runs of a histogram's bins, and from there Lloyd's rounds over the weights themselves.
    """
    values, order = weight.flatten().sort()
    mass = torch.ones_like(weight) if importance is None else importance.expand_as(weight).clamp_min(1e-12)
    sums = _Sums.of(values.double(), mass.flatten()[order].double())
    bins = torch.cat(
        [torch.linspace(0, 1, BINS // 2) * (values[-1] - values[0]) + values[0], values[:: len(values) * 2 // BINS + 1]]
    )
    edges = torch.searchsorted(values, bins.sort().values).unique()
    edges = torch.cat([torch.tensor([0]), edges[edges > 0], torch.tensor([len(values)])]).unique()
    ends = edges[_best_runs(sums, edges, count)]
    for _ in range(ROUNDS):
        centres = sums.means(ends)
        ends = torch.cat([ends[:1], torch.searchsorted(values, (centres[1:] + centres[:-1]).float() / 2), ends[-1:]])
    colours = sums.means(ends).float()
    return torch.cat([colours, colours[-1:].expand(count - len(colours))])


@dataclass(frozen=True)
class _Sums:
    """Of the mass, the weighted values and their squares, up to each of the sorted values (n + 1)."""

    mass: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, values: Tensor, mass: Tensor) -> _Sums:
        none = torch.zeros(1, dtype=torch.double)
        return cls(*(torch.cat([none, (mass * values**power).cumsum(0)]) for power in range(3)))

    def means(self, ends: Tensor) -> Tensor:
        """Of the runs between `ends`, without those that are empty."""
        inside = self.mass[ends].diff()
        return (self.first[ends].diff() / inside)[inside > 0]

    def errors(self, edges: Tensor) -> Tensor:
        """What is left of the squares around its mean, for each run from one of the edges (row) to a later one (column)."""
        mass, first, second = (sums[edges][None] - sums[edges][:, None] for sums in (self.mass, self.first, self.second))
        return torch.where(mass > 0, second - first.square() / mass.clamp_min(1e-300), torch.inf)


def _best_runs(sums: _Sums, edges: Tensor, count: int) -> Tensor:
    """Places in `edges` between which `count` runs leave the least error, all of it by dynamic programming (Bellman 1973)."""
    errors = sums.errors(edges)
    count = min(count, len(edges) - 1)
    least, before = errors[0], []
    for _ in range(count - 1):
        found = (least[:, None] + errors).min(0)
        least = found.values
        before.append(found.indices)
    ends = [len(edges) - 1]
    for indices in reversed(before):
        ends.append(int(indices[ends[-1]]))
    return torch.tensor([0, *reversed(ends)])
