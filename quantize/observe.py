"""What enters each Linear of a model on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BATCH = 32


@dataclass
class Entering:
    """Moments of the inputs of one Linear over all its tokens, and their ends.

    `second` (in, in) is the mean of x x^T, `mean` (in) that of x; `low` and `high` (in) are the least and the largest x.
    """

    second: Tensor
    mean: Tensor
    low: Tensor
    high: Tensor
    count: int = 0

    @classmethod
    def nothing(cls, width: int) -> Entering:
        return cls(
            torch.zeros(width, width), torch.zeros(width), torch.full((width,), torch.inf), torch.full((width,), -torch.inf)
        )

    def add(self, x: Tensor) -> None:
        x = x.detach().reshape(-1, x.shape[-1]).float()
        self.low, self.high = torch.minimum(self.low, x.amin(0)), torch.maximum(self.high, x.amax(0))
        self.count += len(x)
        share = len(x) / self.count
        self.second += share * (x.T @ x / len(x) - self.second)
        self.mean += share * (x.mean(0) - self.mean)

    def over(self, factor: Tensor) -> Entering:
        """Of channels that are divided by `factor` (in)."""
        return Entering(
            self.second / factor / factor[:, None], self.mean / factor, self.low / factor, self.high / factor, self.count
        )


@torch.no_grad()
def entering(model: nn.Module, names: Iterable[str], run: Callable[[], object]) -> dict[str, Entering]:
    """The inputs of the Linears called `names` while `run` runs the model, or the part of it that holds them."""
    found = {}
    hooks = []
    for name in names:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        found[name] = Entering.nothing(linear.in_features)
        hooks.append(linear.register_forward_pre_hook(lambda _, args, seen=found[name]: seen.add(args[0])))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return found
