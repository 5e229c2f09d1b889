"""A rewrite is a value; a list of them is applied in order, and each is proven before the next."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters.linear import dequantized, quantized
from converters.rewrite.parts import Authored
from edgevit.errors import EdgevitError
from edgevit.types import Rewritten
from edgevit.vit.model import ViT

EXACT = 1e-9
"""Relative difference in float64 above which a rewrite is not the same function."""
EXACT_SINGLE = 1e-5
"""The same in float32, on real images: sums in another order differ by 2e-6 in DeiT-Ti, 9e-7 in a random L/16."""


@dataclass(frozen=True)
class Rewrite:
    """The same function in other words.

    `apply` changes the model in place and returns how many parts it replaced. One that is not `exact` changes the function: it
    is applied when a user asks for it or where the back end computes nothing else, after all others, and its figures say what it
    cost. `float_only`: it would change the integers of a quantized Linear.
    """

    name: str
    replaces: str
    why: str
    apply: Callable[[Authored], int]
    float_only: bool = False
    exact: bool = True


@dataclass(frozen=True)
class _Copy:
    """The model in one precision, the images that it is tried on and what the checkpoint answers to them."""

    model: Authored
    images: Tensor
    expected: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, vit: ViT, images: Tensor) -> _Copy:
        return cls(Authored(vit), images, torch.cat([vit(image[None]) for image in images]))

    @torch.no_grad()
    def difference(self) -> float:
        answered = torch.cat([self.model(self.model.given(image[None])) for image in self.images])
        return float((answered - self.expected).norm() / self.expected.norm().clamp_min(1e-30))


def rewritten(vit: ViT, rewrites: Sequence[Rewrite], images: Tensor) -> tuple[Authored, tuple[Rewritten, ...]]:
    """A copy of `vit` with the `rewrites` applied in order, and what each did.

    After each, a float64 twin of the model answers a random image and a float32 one answers `images` (n, 3, H, W) as the
    checkpoint does, or EdgevitError names the rewrite.
    """
    whole = any(isinstance(module, nn.Linear) and quantized(module) for module in vit.modules())
    chosen = [rewrite for rewrite in rewrites if not (rewrite.float_only and whole)]
    height, width = vit.config.image_size
    random = torch.randn(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    double = _Copy.of(dequantized(vit).double(), random)
    single = _Copy.of(dequantized(vit), images)
    model = Authored(copy.deepcopy(vit)) if whole else single.model
    done = []
    for rewrite in chosen:
        parts = {rewrite.apply(copied) for copied in (double.model, single.model, *([model] if whole else []))}
        assert len(parts) == 1, f"{rewrite.name} replaced another number of parts in a copy: {parts}"
        if parts != {0}:
            made = Rewritten(
                rewrite.name, rewrite.replaces, rewrite.why, rewrite.exact, parts.pop(), double.difference(), single.difference()
            )
            _require_exact(made)
            done.append(made)
    return model.eval().requires_grad_(False), tuple(done)


def _require_exact(made: Rewritten) -> None:
    if made.exact and not (made.float64 <= EXACT and made.float32 <= EXACT_SINGLE):
        figures = f"relative difference {made.float64:.1e} in float64, {made.float32:.1e} in float32"
        raise EdgevitError(f"the rewrite '{made.name}' is not exact: {figures}")
