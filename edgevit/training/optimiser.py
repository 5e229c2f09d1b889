"""AdamW with warm-up and cosine decay."""

from __future__ import annotations

import math

import torch
from torch import nn

CLIP = 1.0
"""Largest norm of the gradient, as in the paper (appendix B.1)."""


def adamw(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Matrices and kernels decay; biases, norms, the class token and the positions do not."""
    decayed = [p for name, p in model.named_parameters() if p.ndim >= 2 and name not in ("cls_token", "pos_embed")]
    chosen = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), fused=True)


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """The rate of `step` of `steps`: a line up to `peak` over the fraction `warmup`, then half a cosine down to zero."""
    rise = warmup * steps
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))
