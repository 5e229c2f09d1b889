"""What a converter is asked for."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters.rewrite.parts import Authored
from converters.rewrite.pixels import folded
from converters.rewrite.rewriting import Held, Once, Rewrite, afresh, rewritten
from edgevit import memory
from edgevit.types import Input, Island, Preprocess, QuantRecipe, Rewritten
from edgevit.vit.model import ViT


@dataclass(frozen=True)
class Order:
    """A file of `model`, into which `recipe` has been put.

    It computes one image to logits (1, classes), the image as a float32 tensor that was normalised; or, where `input` says so,
    uint8 RGB pixels to probabilities, and what `preprocess` says of them is computed inside. `labels` are the classes. Real
    `images` (n, 3, H, W), normalised, prove the rewrites; `seen`, which were calibrated on, give ranges to whoever needs more.
    `islands` are kept in float32 where all else is in float16. The rewrite called `without` is left out, to see what it gives.
    While the most memory is needed, `alone` is held: of the conversions of one export, by one at a time. While much is, `beside`
    is: by some at a time, but by none while one is alone. What proofs measure of the model, others that rewrite it the same way
    need not measure again: `once` keeps it.
    """

    model: ViT
    recipe: QuantRecipe
    images: Tensor
    preprocess: Preprocess
    labels: tuple[str, ...] = ()
    input: Input = Input.TENSOR
    seen: Tensor | None = None
    islands: tuple[Island, ...] = ()
    without: str = ""
    alone: Held = nullcontext
    beside: Held = nullcontext
    once: Once = afresh

    @property
    def pixels(self) -> bool:
        return self.input is Input.PIXELS

    def rewrites(self, wanted: tuple[Rewrite, ...], scale: float = 1.0, bias: float = 0.0) -> tuple[Rewrite, ...]:
        """Those that a converter wants, and before them, where pixels go in, the one that normalises them inside.

        The model then takes what the back end makes of a pixel: scale * pixel + bias.
        """
        wanted = tuple(rewrite for rewrite in wanted if rewrite.name != self.without)
        return (folded(self.preprocess, scale, bias), *wanted) if self.pixels else wanted

    def rewritten(
        self, wanted: tuple[Rewrite, ...], scale: float = 1.0, bias: float = 0.0
    ) -> tuple[Authored, tuple[Rewritten, ...]]:
        """The model with those rewrites, each proven, and what each did."""
        taken = f"{scale} * pixel + {bias}" if self.pixels else "images"
        found = rewritten(
            self.model, self.rewrites(wanted, scale, bias), self.images,
            lambda words, measure: self.once(f"{taken}: {words}", measure), self.beside,
        )  # fmt: skip
        memory.trim()
        return found

    def answering(self, model: nn.Module) -> nn.Module:
        """`model` with the answer that is wanted: its logits, or probabilities."""
        return Probable(model) if self.pixels else model


class Probable(nn.Module):
    """`model` with probabilities (1, classes) for logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.model(images), dim=-1)
