"""GELU, where a back end takes one form for the other."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from converters.rewrite.parts import Authored
from converters.rewrite.rewriting import Rewrite


class TanhGelu(nn.Module):
    """The tanh form of GELU in products, sums and a tanh."""

    def forward(self, x: Tensor) -> Tensor:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
        half = 0.5 * x
        return half + half * torch.tanh(inner)  # a sum with a number would stay outside of XNNPACK's delegate


def _spell(model: Authored) -> int:
    found = [block.mlp for block in model.encoders() if getattr(block.mlp.act, "approximate", "none") == "tanh"]
    for mlp in found:
        mlp.act = TanhGelu()  # type: ignore[assignment]
    return len(found)


def _approximate(model: Authored) -> int:
    found = [block.mlp for block in model.encoders() if getattr(block.mlp.act, "approximate", "") == "none"]
    for mlp in found:
        mlp.act = nn.GELU(approximate="tanh")
    return len(found)


SPELT_OUT_GELU = Rewrite(
    "tanh GELU spelt out",
    "gelu(approximate='tanh'), which XNNPACK's lowering and Core ML's converter take for the exact one without a word",
    "it is its definition",
    _spell,
)
TANH_GELU = Rewrite(
    "GELU in its tanh form",
    "the exact GELU, for which Vulkan's delegate computes the tanh form without a word; it has no erf to spell it with",
    "it is not the same function, but it is the one that the delegate computes: written so, its cost is measured",
    _approximate,
    exact=False,
)
