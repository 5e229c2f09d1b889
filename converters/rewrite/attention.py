"""Self-attention in the words of back ends that have no operator for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.linear import rows, scaled
from converters.rewrite.constants import FixedRelative
from converters.rewrite.parts import Authored, between, swap
from converters.rewrite.rewriting import Rewrite
from edgevit.vit.model import Attention


class ApartAttention(nn.Module):
    """Attention over (1, T, width) with q, k and v as maps of their own, 1 / sqrt(head width) within q's.

    The first `asking` tokens alone ask, where it is a number: (1, asking, width).
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        width, self.heads = attention.proj.in_features, attention.heads
        self.q = scaled(rows(attention.qkv, 0, width), (width // self.heads) ** -0.5)
        self.k = rows(attention.qkv, width, 2 * width)
        self.v = rows(attention.qkv, 2 * width, 3 * width)
        self.proj, self.relative = attention.proj, attention.relative
        self.asking: int | None = None

    def forward(self, x: Tensor, log_sizes: Tensor | None = None) -> Tensor:
        q, k, v = (self._split(y) for y in (self.q(between(x, 0, self.asking, 1)), self.k(x), self.v(x)))
        bias = self.relative(q) if self.relative else log_sizes
        mixed = F.scaled_dot_product_attention(q, k, v, bias, scale=1.0)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(1, T, width) to (1, heads, T, width / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class BatchedAttention(nn.Module):
    """ApartAttention as products of a batch of matrices, the heads, and a softmax: rank 3 throughout."""

    def __init__(self, apart: ApartAttention) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj, self.heads = apart.q, apart.k, apart.v, apart.proj, apart.heads
        self.relative, self.asking = apart.relative, apart.asking
        self.turned_once = False

    def forward(self, x: Tensor, log_sizes: Tensor | None = None) -> Tensor:
        q = self._split(self.q(between(x, 0, self.asking, 1)))
        logits = torch.bmm(q, self._keys(self.k(x)))
        if isinstance(self.relative, FixedRelative):
            logits = logits + self.relative.of(q)
        if log_sizes is not None:
            logits = logits + log_sizes
        mixed = torch.bmm(torch.softmax(logits, dim=-1), self._split(self.v(x)))
        return self.proj(mixed.transpose(0, 1).reshape(1, q.shape[1], -1))

    def _split(self, x: Tensor) -> Tensor:
        """(1, T, width) to (heads, T, width / heads)."""
        return x.reshape(x.shape[1], self.heads, -1).transpose(0, 1)

    def _keys(self, x: Tensor) -> Tensor:
        """(1, T, width) to (heads, width / heads, T)."""
        return x.reshape(x.shape[1], self.heads, -1).permute(1, 2, 0) if self.turned_once else self._split(x).transpose(1, 2)


class SplitAttention(nn.Module):
    """ApartAttention head by head: small products, one after the other."""

    def __init__(self, apart: ApartAttention) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj, self.heads = apart.q, apart.k, apart.v, apart.proj, apart.heads
        self.relative, self.asking = apart.relative, apart.asking

    def forward(self, x: Tensor) -> Tensor:
        maps = (self.q(between(x, 0, self.asking, 1)), self.k(x), self.v(x))
        heads = zip(*(y.chunk(self.heads, dim=2) for y in maps), strict=True)
        return self.proj(torch.cat([self._head(*head) for head in heads], dim=2))

    def _head(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Each (1, T, width / heads)."""
        logits = torch.bmm(q, k.transpose(1, 2))
        if isinstance(self.relative, FixedRelative):
            logits = logits + self.relative.of(q)
        return torch.bmm(torch.softmax(logits, dim=-1), v)


def _take_apart(model: Authored) -> int:
    return swap(model, Attention, ApartAttention)


def _batch(model: Authored) -> int:
    return swap(model, ApartAttention, BatchedAttention)


def _turn_once(model: Authored) -> int:
    batched = [module for module in model.modules() if isinstance(module, BatchedAttention)]
    for attention in batched:
        attention.turned_once = True
    return len(batched)


def _split_heads(model: Authored) -> int:
    return swap(model, ApartAttention, SplitAttention)


def _ask_less(model: Authored) -> int:
    """After the last block nothing reads a patch where class tokens answer."""
    last, asking = model.encoders()[-1], model.config.class_tokens
    if not asking or asking == model.config.tokens or not isinstance(last.attention, ApartAttention):
        return 0
    last.asking = last.attention.asking = asking
    if isinstance(last.attention.relative, FixedRelative):
        last.attention.relative = last.attention.relative.asked_by(asking)
    return 1


Q_K_V_APART = Rewrite(
    "q, k and v apart",
    "one map to q, k and v, a permutation in rank 5, a product with 1 / sqrt(head width)",
    "the rows of one matrix are three matrices; a factor of q is a factor of its rows and its bias",
    _take_apart,
)
LAST_BLOCK_ASKS_LESS = Rewrite(
    "last block asks less",
    "queries, MLP and projection of patches after the last attention",
    "the logits read the class token alone, and after the last attention no token reads another",
    _ask_less,
)
BATCHED_ATTENTION = Rewrite(
    "attention as batched products",
    "scaled_dot_product_attention, whose decomposition has a masked safe softmax",
    "no row is masked whole, so softmax needs no such guard; heads become the batch of a product in rank 3",
    _batch,
)
KEYS_TURNED_ONCE = Rewrite(
    "keys turned once",
    "two permutations of the keys, heads first and then tokens last",
    "two permutations are one; TFLite's runtime folds the second into its product, and is slower with this",
    _turn_once,
)
SPLIT_HEADS = Rewrite(
    "split heads",
    "one product over all heads",
    "a head reads its own channels alone, so heads are computed one by one; Apple's article on the Neural Engine, principle 2",
    _split_heads,
)
