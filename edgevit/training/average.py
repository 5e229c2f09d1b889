"""The exponential moving average of a model's weights, which answers better than the last of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from edgevit.vit.model import ViT


class Average:
    """`model` follows the trained one: after each step, `decay` of itself and the rest of that. Early steps count more."""

    def __init__(self, model: ViT, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def follow(self, model: ViT, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        own, others = ([_own_part(p.detach()) for p in m.parameters()] for m in (self.model, model))
        torch._foreach_lerp_(own, others, 1 - decay)


def _own_part(parameter: Tensor) -> Tensor:
    """Of a parameter that several workers share, what this one keeps."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter  # type: ignore[no-any-return]
