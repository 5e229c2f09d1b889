"""The exact re-authoring of a ViT into the form that XNNPACK delegates whole.

The same function of the images, in other words. `scaled_dot_product_attention` becomes bmm, softmax, bmm in rank 3 (its
decomposition has a masked safe softmax that no delegate takes); LayerNorm, for which XNNPACK has no operator, becomes two maps
to one channel and a few products; class token and position embeddings become constants; and in the last block only the class
token asks and is carried on, for nothing else is read from it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from converters.fixed import FixedRelative, fixed
from converters.linear import after_affine, dequantized, quantized, rows, scaled
from edgevit.errors import EdgevitError
from edgevit.vit.model import Block, ViT

EXACT = 1e-9
"""Relative difference in float64 above which a rewrite is not the same function."""


class Normalise(nn.Module):
    """x (.., width) to zero mean and unit variance over the width: LayerNorm before its gain and shift."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (width,) = norm.normalized_shape
        self.mean = nn.Linear(width, 1, bias=False, dtype=norm.weight.dtype).requires_grad_(False)
        self.mean.weight.fill_(1 / width)
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self.mean(x)
        return centred * torch.rsqrt(self.mean(centred * centred) + self.eps)


class Affine(nn.Module):
    """The gain and shift of a LayerNorm, kept apart where the Linear behind holds integers that a folding would change."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain = nn.Parameter(norm.weight.detach().clone(), requires_grad=False)
        self.shift = nn.Parameter(norm.bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + self.shift


def normed(norm: nn.LayerNorm, linear: nn.Linear) -> tuple[nn.Module, nn.Linear]:
    """LayerNorm and the Linear behind it as (module, Linear), the affine folded into a float Linear."""
    if quantized(linear):
        return nn.Sequential(Normalise(norm), Affine(norm)), linear
    return Normalise(norm), after_affine(linear, norm.weight.detach(), norm.bias.detach())


class GainFirstNorm(nn.Module):
    """LayerNorm with its gain before the division by the standard deviation.

    TFLite's converter folds a gain that comes last into the weights behind it, and quantized weights would lose their integers.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred * self.gain * torch.rsqrt(variance + self.eps) + self.shift


class TanhGelu(nn.Module):
    """The tanh form of GELU in products, sums and a tanh.

    XNNPACK's lowering and Core ML's converter take `gelu(approximate="tanh")` for the exact one, without a word.
    """

    def forward(self, x: Tensor) -> Tensor:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
        half = 0.5 * x
        return half + half * torch.tanh(inner)  # a sum with a number would stay outside of XNNPACK's delegate


def spelt_out(vit: ViT) -> ViT:
    """`vit` in place, every tanh GELU as TanhGelu."""
    for block in vit.layers():
        if block.mlp.act.approximate == "tanh":
            block.mlp.act = TanhGelu()  # type: ignore[assignment]
    return vit


class Attention(nn.Module):
    """Self-attention over (1, T, width), where the first `asking` tokens alone ask: (1, asking, width)."""

    def __init__(self, block: Block, asking: int) -> None:
        super().__init__()
        width, self.heads, self.asking = block.attn.proj.in_features, block.attn.heads, asking
        self.norm, qkv = normed(block.norm1, block.attn.qkv)
        self.q = scaled(rows(qkv, 0, width), (width // self.heads) ** -0.5)
        self.k = rows(qkv, width, 2 * width)
        self.v = rows(qkv, 2 * width, 3 * width)
        self.proj = copy.deepcopy(block.attn.proj)
        relative = block.attn.relative
        self.keys = nn.Parameter(relative.keys[:asking], requires_grad=False) if isinstance(relative, FixedRelative) else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        q = self._split(self.q(_first(x, self.asking)))
        logits = torch.bmm(q, self._split(self.k(x)).transpose(1, 2))
        if self.keys is not None:
            logits = logits + torch.bmm(q.transpose(0, 1), self.keys).transpose(0, 1)
        mixed = torch.bmm(torch.softmax(logits, dim=-1), self._split(self.v(x)))
        return self.proj(mixed.transpose(0, 1).reshape(1, q.shape[1], -1))

    def _split(self, x: Tensor) -> Tensor:
        """(1, T, width) to (heads, T, width / heads)."""
        return x.reshape(x.shape[1], self.heads, -1).transpose(0, 1)


def _first(x: Tensor, tokens: int) -> Tensor:
    """A slice that takes everything would be an operator for nothing."""
    return x if x.shape[1] == tokens else x[:, :tokens]


class Mlp(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm, self.fc1 = normed(block.norm2, block.mlp.fc1)
        self.act, self.fc2 = block.mlp.act, copy.deepcopy(block.mlp.fc2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(self.norm(x))))


class Encoder(nn.Module):
    def __init__(self, block: Block, asking: int) -> None:
        super().__init__()
        self.attention, self.mlp, self.asking = Attention(block, asking), Mlp(block), asking

    def forward(self, x: Tensor) -> Tensor:
        x = _first(x, self.asking) + self.attention(x)
        return x + self.mlp(x)


class Answer(nn.Module):
    """The encoded tokens that are read (1, n, width) to logits (1, 1, classes): norm, representation layer, head."""

    def __init__(self, norm: nn.LayerNorm, before: nn.Linear | None, head: nn.Linear) -> None:
        super().__init__()
        self.norm, self.first = normed(norm, before or head)
        self.second = copy.deepcopy(head) if before else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.norm(x))
        return x if self.second is None else self.second(torch.tanh(x))


class MeanAnswer(nn.Module):
    """The patches (1, n, width) to the logits of the mean over them (1, 1, classes), taken before the maps: they are linear."""

    def __init__(self, norm: nn.LayerNorm, before: nn.Linear | None, head: nn.Linear, tokens: int) -> None:
        super().__init__()
        self.norm, self.first = normed(norm, before or head)
        self.second = copy.deepcopy(head) if before else None
        self.mean = nn.Parameter(torch.full((1, 1, tokens), 1 / tokens, dtype=norm.weight.dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(torch.bmm(self.mean, self.norm(x)))
        return x if self.second is None else self.second(torch.tanh(x))


class XnnpackViT(nn.Module):
    """One image (1, 3, H, W) to logits (1, classes): `vit` in the words of XNNPACK."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        vit, config = spelt_out(fixed(vit)), vit.config
        self.patches = nn.Sequential(vit.patch_embed.backbone, vit.patch_embed.proj).requires_grad_(False)
        self.prefix, self.positions = (_constant(tensor) for tensor in (vit.prefix(), vit.positions()))
        asking = [config.tokens] * (config.depth - 1) + [config.class_tokens or config.tokens]
        self.blocks = nn.Sequential(*map(Encoder, vit.layers(), asking))
        self.before = config.prefix
        self.answers = nn.ModuleList(Answer(vit.norm, vit.pre_logits, head) for head in vit.heads())
        if config.pool == "mean":
            self.answers = nn.ModuleList([MeanAnswer(vit.norm, vit.pre_logits, vit.heads()[0], config.patches)])
        self.mean = config.pool == "mean"

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images)
        x = x.reshape(1, x.shape[1], -1).transpose(1, 2)
        x = x if self.positions is None else x + self.positions
        x = self.blocks(x if self.prefix is None else torch.cat([self.prefix, x], dim=1))
        if self.mean:
            return self.answers[0](x[:, self.before :] if self.before else x).reshape(1, -1)
        if len(self.answers) == 1:  # then one token is left, and a slice of it would be an operator for nothing
            return self.answers[0](x).reshape(1, -1)
        return ((self.answers[0](x[:, :1]) + self.answers[1](x[:, 1:])) * 0.5).reshape(1, -1)


def _constant(tensor: Tensor | None) -> nn.Parameter | None:
    return None if tensor is None else nn.Parameter(tensor.detach().clone(), requires_grad=False)


def for_xnnpack(vit: ViT) -> nn.Module:
    """`vit` re-authored for ExecuTorch. Raises EdgevitError where the rewrite is not exact."""
    return _proven(vit, XnnpackViT)


def for_coreml(vit: ViT) -> nn.Module:
    """`vit` with what never changes made constant, and tanh GELU spelt out. Raises EdgevitError where that is not exact."""
    return _proven(vit, _spelt_out)


def _spelt_out(vit: ViT) -> nn.Module:
    return spelt_out(fixed(vit))


def for_tflite(vit: ViT) -> nn.Module:
    """`vit` with every LayerNorm as GainFirstNorm. Raises EdgevitError where the rewrite is not exact."""
    return _proven(vit, _gain_first)


def _gain_first(vit: ViT) -> nn.Module:
    vit = fixed(vit)
    for module in list(vit.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.LayerNorm):
                setattr(module, name, GainFirstNorm(child))
    return vit


@torch.no_grad()
def _proven(vit: ViT, rewrite: Callable[[ViT], nn.Module]) -> nn.Module:
    """The rewritten `vit`, after the same rewrite of its float64 twin has given the twin's logits."""
    twin = dequantized(vit).double()
    height, width = vit.config.image_size
    image = torch.randn(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = twin(image)
    difference = float((rewrite(twin)(image) - expected).norm() / expected.norm().clamp_min(1e-30))
    if not difference <= EXACT:
        raise EdgevitError(f"{rewrite.__name__} is not exact: relative difference {difference:.1e} in float64")
    return rewrite(vit).eval()
