"""AdamW or SGD with momentum, the learning rate of each layer, and its course: warm-up and cosine decay."""

from __future__ import annotations

import math
import re

import torch
from torch import nn

from edgevit.types import TrainConfig

CLIP = 1.0
"""Largest norm of the gradient, as in the paper (appendix B.1)."""
MOMENTUM = 0.9
UNDECAYED = ("cls_token", "dist_token", "reg_token", "mask_token", "pos_embed", "pos_rows", "pos_columns", "table")
"""Last parts of the names of embeddings. They, biases and norms do not decay."""


def build(parameters: dict[str, nn.Parameter], train: TrainConfig, depth: int, sharded: bool = False) -> torch.optim.Optimizer:
    """The optimiser of a resolved `train` for those of the named `parameters` that learn; the encoder has `depth` blocks.

    The rate comes with each step, by `set_rate`. Every group has the `scale` of its own: layer_decay to the power of the number
    of layers above (arXiv 2106.08254).
    """
    assert train.weight_decay is not None and train.layer_decay is not None
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        if parameter.requires_grad:
            scale = train.layer_decay ** (depth + 1 - layer(name, depth))
            groups.setdefault((scale, train.weight_decay if _decays(name, parameter) else 0.0), []).append(parameter)
    made = [{"params": p, "weight_decay": decay, "scale": scale} for (scale, decay), p in groups.items()]
    if train.optimiser == "sgd":
        return torch.optim.SGD(made, lr=0.0, momentum=MOMENTUM, fused=not sharded)  # torch has no sharded one
    return torch.optim.AdamW(made, lr=0.0, betas=(0.9, 0.999), fused=True)


def layer(name: str, depth: int) -> int:
    """0 for what comes before the blocks, then 1 to `depth`, and one more for what comes after or is new: the mask token."""
    block = re.match(r"blocks\.(\d+)\.", name)
    if block:
        return int(block[1]) + 1
    return 0 if name.startswith(("patch_embed.", "cls_token", "dist_token", "reg_token", "pos_")) else depth + 1


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and name.rpartition(".")[2] not in UNDECAYED


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """The rate of `step` of `steps`: a line up to `peak` over the fraction `warmup`, then half a cosine down to zero."""
    rise = warmup * steps
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))
