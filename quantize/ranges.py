"""The int8 range of an activation, from what it was on calibration images.

`minmax` holds all that was seen; `percentile` all but the smallest and the largest 0.01 %; `mse` ends where the squared error of
rounding and clipping together is least.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from edgevit.vit.static import LEAST, MOST, Rounding

SAMPLE = 1 << 17
"""Values kept of each batch. The ends are exact."""
OUTSIDE = 1e-4
SHRINK = np.linspace(1.0, 0.02, 99)
"""Shares of an end that are tried for it."""
BINS = 4096


@dataclass
class Seen:
    """Values of one tensor over all batches: a sample of them, and their ends."""

    low: float = float("inf")
    high: float = float("-inf")
    parts: list[np.ndarray] = field(default_factory=list)

    def add(self, x: Tensor) -> None:
        values = x.detach().flatten()
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        every = max(1, len(values) // SAMPLE)
        while math.gcd(every, x.shape[-1]) > 1:  # so that no channel is left out
            every += 1
        self.parts.append(values[::every].float().numpy().copy())


def rounding(seen: Seen, how: str) -> Rounding:
    """The range of what was seen, found as the recipe says."""
    low, high = seen.low, seen.high
    if how == "percentile":
        low, high = np.quantile(np.concatenate(seen.parts), (OUTSIDE, 1 - OUTSIDE)).tolist()
    elif how == "mse":
        low, high = _least_error(seen)
    return Rounding.between(low, high)


def _least_error(seen: Seen) -> tuple[float, float]:
    """Ends with the least squared error over a histogram: both drawn in alike, then each by itself."""
    counts, edges = np.histogram(np.concatenate(seen.parts), BINS, (seen.low, seen.high + 1e-12))
    centres = (edges[1:] + edges[:-1]) / 2

    def error(low: float, high: float) -> float:
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / (MOST - LEAST), 1e-30)
        clipped = centres.clip(low, high)
        return float(counts @ ((clipped - centres) ** 2 + np.where(clipped == centres, scale**2 / 12, 0)))

    low, high = min(((seen.low * s, seen.high * s) for s in SHRINK), key=lambda ends: error(*ends))
    low = min((seen.low * s for s in SHRINK), key=lambda end: error(end, high))
    high = min((seen.high * s for s in SHRINK), key=lambda end: error(low, end))
    return low, high


@torch.no_grad()
def around(model: nn.Module, name: str, run: Callable[[], object]) -> tuple[Seen, list[Seen]]:
    """What enters and what leaves the Linear `name` while `run` runs the model; q, k and v, which one matrix gives, apart."""
    before, behind = Seen(), [Seen() for _ in range(parts(name))]

    def look(_: nn.Module, args: tuple[Tensor, ...], given: Tensor) -> None:
        before.add(args[0])
        for seen, part in zip(behind, given.chunk(len(behind), -1), strict=True):
            seen.add(part)

    hook = model.get_submodule(name).register_forward_hook(look)
    try:
        run()
    finally:
        hook.remove()
    return before, behind


def parts(name: str) -> int:
    """How many tensors the outputs of a Linear are."""
    return 3 if name.endswith(".qkv") else 1


def joined(roundings: list[Rounding], channels: int) -> Rounding:
    """One for each of `channels`, of the parts that they consist of in order."""
    each = channels // len(roundings)
    scales, zeros = torch.cat([r.scale for r in roundings]), torch.cat([r.zero for r in roundings])
    return Rounding(scales.repeat_interleave(each), zeros.repeat_interleave(each))
