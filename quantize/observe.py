"""What enters each Linear of a model on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BATCH = 32


@dataclass
class Entering:
    """Moments of the inputs of one Linear over all its tokens: `second` (in, in) the mean of x x^T, `mean` (in)."""

    second: Tensor
    mean: Tensor
    count: int = 0

    def add(self, x: Tensor) -> None:
        x = x.detach().reshape(-1, x.shape[-1]).float()
        self.count += len(x)
        share = len(x) / self.count
        self.second += share * (x.T @ x / len(x) - self.second)
        self.mean += share * (x.mean(0) - self.mean)


@torch.no_grad()
def entering(model: nn.Module, names: Iterable[str], run: Callable[[], object]) -> dict[str, Entering]:
    """The inputs of the Linears called `names` while `run` runs the model, or the part of it that holds them."""
    found = {}
    hooks = []
    for name in names:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        width = linear.in_features
        found[name] = Entering(torch.zeros(width, width), torch.zeros(width))
        hooks.append(linear.register_forward_pre_hook(lambda _, args, seen=found[name]: seen.add(args[0])))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return found
