"""What is computed anew for every image in training and is the same for all of them: constants, once a model is exported.

The standardised kernels of a hybrid's stem, positions by row and column, and the vectors of relative ones. GroupNorm,
which no mobile back end has whole, becomes means over the image and a 1x1 convolution that averages within the groups: rank 4
throughout, and delegated everywhere.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit.vit.model import ViT
from edgevit.vit.positions import Relative
from edgevit.vit.stem import StandardisedConv, same, standardised


class FixedConv(nn.Module):
    """A StandardisedConv with its kernels standardised once."""

    def __init__(self, conv: StandardisedConv) -> None:
        super().__init__()
        self.weight = nn.Parameter(standardised(conv.weight.detach()), requires_grad=False)
        self.kernel, self.stride = conv.kernel_size[0], conv.stride[0]

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(same(x, self.kernel, self.stride), self.weight, None, self.stride)


class PooledGroupNorm(nn.Module):
    """GroupNorm of (N, C, H, W) by means over H and W and a convolution (C, C, 1, 1) that averages within the groups."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        channels, size = norm.num_channels, norm.num_channels // norm.num_groups
        block = torch.full((size, size), 1 / size, dtype=norm.weight.dtype)
        average = torch.block_diag(*[block] * norm.num_groups).reshape(channels, channels, 1, 1)
        self.average = nn.Parameter(average, requires_grad=False)
        self.gain = nn.Parameter(norm.weight.detach().reshape(1, -1, 1, 1).clone(), requires_grad=False)
        self.shift = nn.Parameter(norm.bias.detach().reshape(1, -1, 1, 1).clone(), requires_grad=False)
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self._mean(x)
        return centred * (torch.rsqrt(self._mean(centred * centred) + self.eps) * self.gain) + self.shift

    def _mean(self, x: Tensor) -> Tensor:
        """Of each group, for each of its channels: (N, C, 1, 1)."""
        return F.conv2d(x.mean((2, 3), keepdim=True), self.average)


class FixedRelative(nn.Module):
    """Relative with the vector of every pair of tokens looked up once."""

    def __init__(self, relative: Relative) -> None:
        super().__init__()
        self.keys = nn.Parameter(relative.keys().detach().transpose(1, 2).contiguous(), requires_grad=False)

    def forward(self, q: Tensor) -> Tensor:
        """Queries (1, heads, T, d) to what the positions add to their logits (1, heads, T, T)."""
        return torch.bmm(q[0].transpose(0, 1), self.keys).transpose(0, 1)[None]


def _with_one_table(vit: ViT) -> ViT:
    """`vit` in place, halves for row and column added up to the table of positions that they are: fixed, as that of sines is."""
    if vit.config.positions == "2d":
        table = vit.positions()
        assert table is not None
        del vit.pos_rows, vit.pos_columns
        vit.register_buffer("pos_embed", table.detach().clone())
        vit.config = dataclasses.replace(vit.config, positions="sincos")
    return vit


def fixed(vit: ViT) -> ViT:
    """A copy of `vit`, the same function of one image (1, 3, H, W), with all of that made constant."""
    vit = _with_one_table(copy.deepcopy(vit))
    forms = {StandardisedConv: FixedConv, nn.GroupNorm: PooledGroupNorm, Relative: FixedRelative}
    for module in list(vit.modules()):
        for name, child in module.named_children():
            if type(child) in forms:
                setattr(module, name, forms[type(child)](child))
    return vit
