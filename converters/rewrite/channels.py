"""The layout of Apple's Neural Engine: a sequence is (1, width, 1, T), a Linear a 1x1 convolution.

Source: "Deploying Transformers on the Apple Neural Engine", machinelearning.apple.com/research/neural-engine-transformers: a
format of four axes with channels first and the sequence last (principle 1), heads one by one (2), few copies of memory (3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.linear import matrix
from converters.rewrite.answers import Mean, SlicedAnswers
from converters.rewrite.attention import SplitAttention
from converters.rewrite.constants import FixedRelative, FixedTokens
from converters.rewrite.parts import Authored, Encoder, between, swap
from converters.rewrite.rewriting import Rewrite
from edgevit.vit.model import PatchEmbed

SEQUENCE = 3
"""The axis of the tokens."""


class Pointwise(nn.Linear):
    """A Linear over the channels of (1, in, 1, T): a 1x1 convolution to (1, out, 1, T)."""

    def __init__(self, linear: nn.Linear) -> None:
        with torch.device("meta"):
            super().__init__(linear.in_features, linear.out_features)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        weight = matrix(self)
        return F.conv2d(x, weight if weight.dim() == 4 else weight[:, :, None, None], self.bias)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (1, width, 1, T).

    Written so that coremltools finds its own `layer_norm` with axes=[1] in it (pass fuse_layernorm_or_instancenorm, pattern 5):
    one operator, whose squares need not fit into float16. That pattern has the shift before the gain, divided by it, which a gain
    of zero forbids; so gain and shift stay outside of the operator.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain, self.shift = (nn.Parameter(_columns(p[None, None]), requires_grad=False) for p in (norm.weight, norm.bias))
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        normal = centred * torch.rsqrt((centred * centred).mean(1, keepdim=True) + self.eps)
        return normal * self.gain + self.shift


class ChannelAttention(nn.Module):
    """SplitAttention over (1, width, 1, T). Its two products have the one form that Core ML's `einsum` takes without a transpose.

    What the keys contribute lies first, as channels, and softmax runs over them: (1, T looked at, 1, T that ask).
    """

    def __init__(self, split: SplitAttention) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj = split.q, split.k, split.v, split.proj
        self.heads, self.asking = split.heads, split.asking
        keys = split.relative.keys if isinstance(split.relative, FixedRelative) else None
        self.keys = None if keys is None else nn.Parameter(keys.permute(2, 0, 1)[None].contiguous(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(between(x, 0, self.asking, SEQUENCE)).chunk(self.heads, dim=1)
        k = self.k(x).transpose(1, 3).chunk(self.heads, dim=3)  # one transpose for all heads
        v = self.v(x).chunk(self.heads, dim=1)
        return self.proj(torch.cat([self._head(*head) for head in zip(q, k, v, strict=True)], dim=1))

    def _head(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q and v (1, width / heads, 1, T), k (1, T, 1, width / heads)."""
        logits = _product(k, q)
        if self.keys is not None:  # (1, T, asking, width / heads): each query has keys of its own, so queries are rows here
            logits = logits + _product(self.keys, q.transpose(2, 3)).transpose(2, 3)
        return _product(v, torch.softmax(logits, dim=1))


class ChannelTokens(nn.Module):
    """FixedTokens over (1, width, 1, patches)."""

    def __init__(self, tokens: FixedTokens) -> None:
        super().__init__()
        self.prefix, self.positions = (
            None if p is None else nn.Parameter(_columns(p), requires_grad=False) for p in (tokens.prefix, tokens.positions)
        )

    def forward(self, patches: Tensor) -> Tensor:
        x = patches if self.positions is None else patches + self.positions
        return x if self.prefix is None else torch.cat([self.prefix, x], dim=SEQUENCE)


class ChannelPatches(nn.Module):
    """Images (1, 3, H, W) to patch embeddings (1, width, 1, patches): rows of patches laid end to end."""

    def __init__(self, patches: PatchEmbed) -> None:
        super().__init__()
        self.backbone, self.proj = patches.backbone, patches.proj

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(self.backbone(images)).reshape(1, self.proj.out_channels, 1, -1)


class ChannelMean(nn.Module):
    """The mean over the tokens of (1, width, 1, T)."""

    def __init__(self, mean: Mean) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(SEQUENCE, keepdim=True)


def _columns(tokens: Tensor) -> Tensor:
    """(1, T, width) to (1, width, 1, T)."""
    return tokens.detach().transpose(1, 2)[:, :, None].contiguous()


def _product(x: Tensor, y: Tensor) -> Tensor:
    """(1, C, H, W) and (1, W, H, U) to (1, C, H, U)."""
    return torch.einsum("nchw,nwhu->nchu", x, y)


def _channels_first(model: Authored) -> int:
    parts = (
        swap(model, PatchEmbed, ChannelPatches),
        swap(model, FixedTokens, ChannelTokens),
        swap(model, SplitAttention, ChannelAttention),
        swap(model, nn.LayerNorm, ChannelNorm),
        swap(model, nn.Linear, Pointwise),
        swap(model, Mean, ChannelMean),
    )
    turned = [module for module in model.modules() if isinstance(module, Encoder | SlicedAnswers)]
    for module in turned:
        module.axis = SEQUENCE
    return sum(parts) + len(turned)


CHANNELS_FIRST = Rewrite(
    "channels first",
    "sequences (1, T, width), Linears, LayerNorm over the last axis",
    "a Linear is a 1x1 convolution of (1, width, 1, T); Apple's article on the Neural Engine, principles 1 and 3",
    _channels_first,
)
