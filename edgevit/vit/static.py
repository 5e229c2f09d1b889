"""Linears whose inputs and outputs are int8 at scales that are known beforehand, as an NPU computes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST, MOST = -128, 127


@dataclass(frozen=True)
class Rounding:
    """Floats to int8 and back: x is round(x / scale) + zero, within -128..127.

    `scale` (n) float32 and `zero` (n) int32: of the whole tensor where n is 1, else of each channel, the last dimension.
    """

    scale: Tensor
    zero: Tensor

    @classmethod
    def between(cls, low: float, high: float) -> Rounding:
        """The one that holds `low` to `high`, and 0 exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / (MOST - LEAST), torch.finfo(torch.float32).tiny)
        zero = min(max(round(LEAST - low / scale), LEAST), MOST)
        return cls(torch.tensor([scale], dtype=torch.float32), torch.tensor([zero], dtype=torch.int32))

    def __call__(self, x: Tensor) -> Tensor:
        if len(self.scale) == 1:
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, LEAST, MOST)
        return torch.fake_quantize_per_channel_affine(x, self.scale, self.zero, x.dim() - 1, LEAST, MOST)

    def rows(self, start: int, stop: int) -> Rounding:
        """Of these channels alone."""
        return Rounding(self.scale[start:stop], self.zero[start:stop])

    def scaled(self, factor: float) -> Rounding:
        """Of `factor` times as much."""
        return Rounding(self.scale * factor, self.zero)

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest number of the widest channel."""
        return float(((LEAST - self.zero) * self.scale).min()), float(((MOST - self.zero) * self.scale).max())

    @property
    def single(self) -> tuple[float, int]:
        """The one scale and zero of all channels. Raises ValueError where they differ."""
        if self.scale.unique().numel() != 1 or self.zero.unique().numel() != 1:
            raise ValueError("channels of one tensor have scales of their own")
        return float(self.scale[0]), int(self.zero[0])


class StaticLinear(nn.Linear):
    """A Linear that rounds what enters, and what leaves by a Rounding of every output channel."""

    entering: Rounding
    leaving: Rounding

    @classmethod
    def of(cls, linear: nn.Linear, entering: Rounding, leaving: Rounding) -> StaticLinear:
        """With the very parameters of `linear`."""
        with torch.device("meta"):
            made = cls(linear.in_features, linear.out_features)
        made.weight, made.bias = linear.weight, linear.bias
        made.entering, made.leaving = entering, leaving
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.leaving(F.linear(self.entering(x), self.weight, self.bias))
