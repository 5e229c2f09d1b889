"""LayerNorm in the words of back ends that have none, or that would spoil the integers behind it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from converters.linear import after_affine
from converters.rewrite.parts import Authored, swap
from converters.rewrite.rewriting import Rewrite


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


class MappedNorm(nn.Module):
    """LayerNorm as Normalise, then its gain and shift."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.normalise = Normalise(norm)
        self.gain, self.shift = (nn.Parameter(p.detach().clone(), requires_grad=False) for p in (norm.weight, norm.bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.normalise(x) * self.gain + self.shift


class GainFirstNorm(nn.Module):
    """LayerNorm with its gain before the division by the standard deviation."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred * self.gain * torch.rsqrt(variance + self.eps) + self.shift


def _map(model: Authored) -> int:
    return swap(model, nn.LayerNorm, MappedNorm)


def _gain_first(model: Authored) -> int:
    return swap(model, nn.LayerNorm, GainFirstNorm)


def _fold(model: Authored) -> int:
    """Into every map that reads the norm."""
    places: list[tuple[nn.Module, str, nn.Module, tuple[str, ...]]] = []
    for block in model.encoders():
        attention = ("q", "k", "v") if hasattr(block.attention, "q") else ("qkv",)
        places += [(block, "norm1", block.attention, attention), (block, "norm2", block.mlp, ("fc1",))]
    places.append((model.answers, "norm", model.answers, ("first", "other")))
    return sum(_fold_one(*place) for place in places)


def _fold_one(owner: nn.Module, name: str, reader: nn.Module, maps: tuple[str, ...]) -> int:
    norm = getattr(owner, name)
    if not isinstance(norm, MappedNorm):
        return 0
    for linear in maps:
        if getattr(reader, linear) is not None:
            setattr(reader, linear, after_affine(getattr(reader, linear), norm.gain, norm.shift))
    setattr(owner, name, norm.normalise)
    return 1


MAPPED_NORM = Rewrite(
    "LayerNorm as maps",
    "LayerNorm, for which XNNPACK has no operator",
    "a mean is a map to one channel of weights 1 / width; then products and an rsqrt",
    _map,
)
FOLDED_AFFINE = Rewrite(
    "folded affine",
    "gain and shift of a LayerNorm",
    "W (g x + s) + b is (W g) x + (W s + b)",
    _fold,
    float_only=True,
)
GAIN_FIRST_NORM = Rewrite(
    "gain-first LayerNorm",
    "LayerNorm, whose last product TFLite's converter folds into the weights behind, so that they lose their integers",
    "a product may be taken in any order",
    _gain_first,
)
