"""What is computed anew for every image in training and is the same for all of them: constants, once a model is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.rewrite.parts import Authored, Tokens, constant, swap
from converters.rewrite.rewriting import Rewrite
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
    """Relative with the vector of every pair of tokens looked up once, for the first `asking` tokens."""

    def __init__(self, relative: Relative) -> None:
        super().__init__()
        self.keys = nn.Parameter(relative.keys().detach().transpose(1, 2).contiguous(), requires_grad=False)

    def asked_by(self, tokens: int) -> FixedRelative:
        self.keys.data = self.keys.data[:tokens]
        return self

    def of(self, q: Tensor) -> Tensor:
        """Queries (heads, T, d) to what the positions add to their logits (heads, T, T)."""
        return torch.bmm(q.transpose(0, 1), self.keys).transpose(0, 1)

    def forward(self, q: Tensor) -> Tensor:
        """The same with a first dimension of 1."""
        return self.of(q[0])[None]


class FixedTokens(nn.Module):
    """Tokens whose prefix and positions are constants."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.prefix, self.positions = (constant(tensor) for tensor in (tokens.prefix(), tokens.positions()))

    def forward(self, patches: Tensor) -> Tensor:
        x = patches if self.positions is None else patches + self.positions
        return x if self.prefix is None else torch.cat([self.prefix, x], dim=1)


def _swapping(kind: type[nn.Module], new: type[nn.Module]):  # type: ignore[no-untyped-def]
    def apply(model: Authored) -> int:
        return swap(model, kind, new)

    return apply


CONSTANT_KERNELS = Rewrite(
    "constant kernels",
    "weight standardisation of a hybrid's convolutions",
    "kernels do not change after training, so they are standardised once",
    _swapping(StandardisedConv, FixedConv),
)
POOLED_GROUP_NORM = Rewrite(
    "GroupNorm as pooling",
    "GroupNorm, which no mobile back end has whole",
    "means over H and W, then a 1x1 convolution that averages within groups: the same sums in rank 4",
    _swapping(nn.GroupNorm, PooledGroupNorm),
)
LOOKED_UP_RELATIVE = Rewrite(
    "looked-up relative positions",
    "a gather from the table of offsets",
    "the offsets of two patches are those of every image, so their vectors are looked up once",
    _swapping(Relative, FixedRelative),
)
CONSTANT_TOKENS = Rewrite(
    "constant tokens",
    "expand and sums of class token, registers and positions",
    "for one image they are the same tensors every time",
    _swapping(Tokens, FixedTokens),
)
CONSTANTS = (CONSTANT_KERNELS, POOLED_GROUP_NORM, LOOKED_UP_RELATIVE, CONSTANT_TOKENS)
"""What every back end wants."""
