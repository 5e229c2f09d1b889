"""Rounding column by column, the error of each made good by those that follow (GPTQ, Frantar et al., arXiv 2210.17323)."""

from __future__ import annotations

import torch
from torch import Tensor

from quantize.grid import Grid

DAMPING = 0.01
"""Of the second moments, as a share of their mean diagonal; the paper's."""
BLOCK = 128
"""Columns whose errors reach the later ones at once."""


def compensated(weight: Tensor, second: Tensor, grid: Grid) -> Tensor:
    """Places on the `grid` for `weight` (out, in) that keep its outputs, where `second` (in, in) is the mean of x x^T.

    The columns that matter most go first.
    """
    second = second.double()
    diagonal = second.diagonal()
    order = diagonal.argsort(descending=True)
    damped = second[order][:, order] + torch.eye(len(second)) * (DAMPING * diagonal.mean() + 1e-12)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True).to(weight.dtype)
    left = weight[:, order].clone()
    places: list[Tensor] = []
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        errors = torch.zeros(len(weight), stop - start)
        for i in range(start, stop):
            column, where = left[:, i : i + 1], order[i : i + 1]
            place = grid.nearest(column, where)
            error = (column - grid.values(place, where)) / inverse[i, i]
            left[:, i:stop] -= error * inverse[i, i:stop]
            errors[:, i - start] = error[:, 0]
            places.append(place)
        left[:, stop:] -= errors @ inverse[start:stop, stop:]
    return torch.cat(places, dim=1)[:, order.argsort()]
