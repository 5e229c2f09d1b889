"""LayerNorm in the words of back ends that have none, or that would spoil the integers behind it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from converters.linear import after_affine, centred
from converters.rewrite.constants import FixedTokens
from converters.rewrite.parts import Authored, constant, swap
from converters.rewrite.rewriting import Rewrite
from edgevit.vit.model import PatchEmbed


class SpeltNorm(nn.Module):
    """LayerNorm over the width of x (.., width), spelt out; how a mean is taken is its subclasses'.

    The gain comes before the division by the standard deviation: behind it, TFLite's converter would fold it into the weights
    that follow, and they lose their integers. `gain` and `shift` are None once they are folded. `centre` is False where the means
    of x are zero already.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain, self.shift = constant(norm.weight), constant(norm.bias)
        self.eps, self.centre = norm.eps, True

    def forward(self, x: Tensor) -> Tensor:
        if self.centre:
            x = x - self.mean(x)
        normal = (x if self.gain is None else x * self.gain) * torch.rsqrt(self.variance(x))
        return normal if self.shift is None else normal + self.shift

    def mean(self, x: Tensor) -> Tensor:
        """(.., 1)."""
        return x.mean(-1, keepdim=True)

    def variance(self, x: Tensor) -> Tensor:
        """That of centred x, and eps: (.., 1)."""
        return (x * x).mean(-1, keepdim=True) + self.eps


class MappedNorm(SpeltNorm):
    """SpeltNorm whose means are maps to one channel; eps is the bias of the second."""

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        super().__init__(norm)
        (width,) = norm.normalized_shape
        self.average, self.spread = (nn.Linear(width, 1, bias, dtype=dtype) for bias in (False, True))
        for linear in (self.average, self.spread):
            linear.requires_grad_(False).weight.fill_(1 / width)
        self.spread.bias.fill_(norm.eps)

    def mean(self, x: Tensor) -> Tensor:
        return self.average(x)

    def variance(self, x: Tensor) -> Tensor:
        return self.spread(x * x)


def _map(model: Authored) -> int:
    return swap(model, nn.LayerNorm, lambda norm: MappedNorm(norm, model.dtype))


def _spell(model: Authored) -> int:
    return swap(model, nn.LayerNorm, SpeltNorm)


def _read(model: Authored) -> list[tuple[SpeltNorm, nn.Module, tuple[str, ...]]]:
    """Every norm with the module that reads it, and the names of the maps by which it does."""
    found: list[tuple[nn.Module, nn.Module, tuple[str, ...]]] = []
    for block in model.encoders():
        found.append((block.norm1, block.attention, ("q", "k", "v") if hasattr(block.attention, "q") else ("qkv",)))
        found.append((block.norm2, block.mlp, ("fc1",)))
    found.append((model.answers.norm, model.answers, ("first", "other")))  # type: ignore[arg-type]
    return [(norm, reader, maps) for norm, reader, maps in found if isinstance(norm, SpeltNorm)]


def _fold(model: Authored) -> int:
    """Into every map that reads the norm."""
    norms = _read(model)
    for norm, reader, maps in norms:
        assert norm.gain is not None and norm.shift is not None
        for name in maps:
            if getattr(reader, name) is not None:
                setattr(reader, name, after_affine(getattr(reader, name), norm.gain, norm.shift))
        norm.gain = norm.shift = None
    return len(norms)


def _centre(model: Authored) -> int:
    """Everything that writes to the stream which the norms read."""
    patches, tokens, norms = model.patches, model.tokens, _read(model)
    if not (isinstance(patches, PatchEmbed) and isinstance(tokens, FixedTokens) and len(norms) == 2 * len(model.blocks) + 1):
        return 0
    patches.proj = centred(patches.proj)
    for token in (tokens.prefix, tokens.positions):
        if token is not None:
            token.data = token.data - token.data.mean(-1, keepdim=True)
    for block in model.encoders():
        block.attention.proj, block.mlp.fc2 = centred(block.attention.proj), centred(block.mlp.fc2)
    for norm in model.modules():
        if isinstance(norm, SpeltNorm):
            norm.centre = False
    return len(norms)


MAPPED_NORM = Rewrite(
    "LayerNorm as maps",
    "LayerNorm, for which XNNPACK has no operator",
    "a mean is a map to one channel of weights 1 / width; then products and an rsqrt",
    _map,
)
SPELT_OUT_NORM = Rewrite(
    "LayerNorm spelt out",
    "LayerNorm, whose last product TFLite's converter folds into the weights behind, so that they lose their integers",
    "it is its definition, but for the order of two products",
    _spell,
)
FOLDED_AFFINE = Rewrite(
    "folded affine",
    "gain and shift of a LayerNorm",
    "W (g x + s) + b is (W g) x + (W s + b)",
    _fold,
    float_only=True,
)
CENTRED_STREAM = Rewrite(
    "centred stream",
    "the mean that each LayerNorm takes away",
    "a LayerNorm does not see the mean of a token, so all that writes to the stream may write with mean zero: nothing is left to "
    "take away",
    _centre,
    float_only=True,
)
