"""The sequence as an image of one row, (1, 1, T, width): rank 4 and batch 1 throughout, as GPU delegates want it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.rewrite.answers import Mean, SlicedAnswers
from converters.rewrite.attention import ApartAttention
from converters.rewrite.constants import FixedRelative, FixedTokens
from converters.rewrite.parts import Authored, between, swap
from converters.rewrite.rewriting import Rewrite
from edgevit.vit.model import PatchEmbed

SEQUENCE = 2
"""The axis of the tokens."""


class RowPatches(nn.Module):
    """Images (1, 3, H, W) to patch embeddings (1, 1, patches, width), with channels last from the convolution on."""

    def __init__(self, patches: PatchEmbed) -> None:
        super().__init__()
        self.backbone, self.proj = patches.backbone, patches.proj

    def forward(self, images: Tensor) -> Tensor:
        grid = self.proj(self.backbone(images)).permute(0, 2, 3, 1)
        return grid.reshape(1, 1, -1, grid.shape[3])


class RowTokens(nn.Module):
    """Patch embeddings (1, 1, patches, width) to the sequence (1, 1, T, width), by constants."""

    def __init__(self, tokens: FixedTokens) -> None:
        super().__init__()
        self.prefix, self.positions = (_row(tensor) for tensor in (tokens.prefix, tokens.positions))

    def forward(self, patches: Tensor) -> Tensor:
        x = patches if self.positions is None else patches + self.positions
        return x if self.prefix is None else torch.cat([self.prefix, x], dim=2)


class RowRelative(nn.Module):
    """FixedRelative in rank 4, with an operand that no delegate may take for a constant.

    A product with a constant operand is refused in rank 4, so a row of logits is put below the constant vectors, and a zero
    beside every query: it adds nothing.
    """

    def __init__(self, relative: FixedRelative, heads: int) -> None:
        super().__init__()
        keys = relative.keys[None]  # (1, asking, d, T)
        self.keys = nn.Parameter(keys, requires_grad=False)
        self.nothing = nn.Parameter(keys.new_zeros(1, keys.shape[1], heads, 1), requires_grad=False)

    def forward(self, q: Tensor, logits: Tensor) -> Tensor:
        """Queries (1, heads, asking, d), logits (1, heads, asking, T) to what the positions add to these."""
        keys = torch.cat([self.keys, logits[:, :1].transpose(1, 2)], dim=2)
        asked = torch.cat([q.transpose(1, 2), self.nothing], dim=3)
        return torch.matmul(asked, keys).transpose(1, 2)


class RowAttention(nn.Module):
    """ApartAttention over (1, 1, T, width): products of (1, heads, T, width / heads) and a softmax."""

    def __init__(self, apart: ApartAttention) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj, self.heads = apart.q, apart.k, apart.v, apart.proj, apart.heads
        self.relative = RowRelative(apart.relative, apart.heads) if isinstance(apart.relative, FixedRelative) else None
        self.asking = apart.asking

    def forward(self, x: Tensor) -> Tensor:
        q = self._split(self.q(between(x, 0, self.asking, SEQUENCE))).permute(0, 2, 1, 3)
        k = self._split(self.k(x)).permute(0, 2, 3, 1)
        logits = torch.matmul(q, k)
        if self.relative:
            logits = logits + self.relative(q, logits)
        mixed = torch.matmul(torch.softmax(logits, dim=-1), self._split(self.v(x)).permute(0, 2, 1, 3))
        return self.proj(mixed.permute(0, 2, 1, 3).reshape(1, 1, q.shape[2], -1))

    def _split(self, x: Tensor) -> Tensor:
        """(1, 1, T, width) to (1, T, heads, width / heads)."""
        return x.reshape(1, x.shape[2], self.heads, -1)


class RowMean(nn.Module):
    """The mean over patches (1, 1, n, width) to (1, 1, 1, width): one over the width of the image."""

    def __init__(self, mean: Mean) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(2, keepdim=True)


class Convolved(nn.Module):
    """A Linear over the last dimension of (1, H, W, channels) as a 1x1 convolution."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach()[:, :, None, None], requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias).permute(0, 2, 3, 1)


def _row(tensor: Tensor | None) -> nn.Parameter | None:
    return None if tensor is None else nn.Parameter(tensor.detach()[None], requires_grad=False)


def _in_rank_4(model: Authored) -> int:
    patches, tokens, answers = model.patches, model.tokens, model.answers
    if not (isinstance(patches, PatchEmbed) and isinstance(tokens, FixedTokens) and isinstance(answers, SlicedAnswers)):
        return 0
    model.patches, model.tokens, answers.axis = RowPatches(patches), RowTokens(tokens), SEQUENCE
    for block in model.encoders():
        block.axis = SEQUENCE
    return 3 + swap(model, Mean, RowMean) + swap(model, ApartAttention, RowAttention)


def _convolve(model: Authored) -> int:
    return swap(model, nn.Linear, Convolved)


RANK_4 = Rewrite(
    "rank 4",
    "a sequence of rank 3 and attention with heads as a batch, where a GPU delegate wants (1, H, W, channels)",
    "tokens are the columns of an image of one row, heads its rows within attention; the products and sums stay the same",
    _in_rank_4,
)
CONVOLVED_MAPS = Rewrite(
    "maps as convolutions",
    "FULLY_CONNECTED, which GPU delegates take for one token alone",
    "a map of every token is a 1x1 convolution",
    _convolve,
    float_only=True,
)
