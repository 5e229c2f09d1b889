"""Normalisation inside the model: the patch embedding takes pixels, or what a back end makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters.rewrite.parts import Authored
from converters.rewrite.rewriting import Rewrite
from edgevit.types import Preprocess
from edgevit.vit.model import PatchEmbed

WHITE = 255


@dataclass(frozen=True)
class Units:
    """What images are measured in: a normalised one is gain * x + shift in each channel."""

    gain: tuple[float, ...]
    shift: tuple[float, ...]

    @classmethod
    def of(cls, preprocess: Preprocess, scale: float, bias: float) -> Units:
        """Those of x = scale * pixel + bias, a pixel being 0 to 255."""
        gain = tuple(1 / (WHITE * scale * std) for std in preprocess.std)
        pairs = zip(preprocess.mean, preprocess.std, strict=True)
        return cls(gain, tuple(-(bias / (WHITE * scale) + mean) / std for mean, std in pairs))

    def columns(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and shift (1, 3, 1, 1)."""
        gain, shift = (like.new_tensor(each).reshape(1, -1, 1, 1) for each in (self.gain, self.shift))
        return gain, shift

    def undo(self, images: Tensor) -> Tensor:
        """Normalised images (n, 3, H, W) in these units."""
        gain, shift = self.columns(images)
        return (images - shift) / gain


class Normalised(nn.Module):
    """`backbone` for images in other units: its convolutions pad with zeros, which normalised images alone have at their rims."""

    def __init__(self, backbone: nn.Module, units: Units, like: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.gain, self.shift = (nn.Parameter(column, requires_grad=False) for column in units.columns(like))

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images * self.gain + self.shift)


def folded(preprocess: Preprocess, scale: float, bias: float) -> Rewrite:
    """The rewrite after which a model takes scale * pixel + bias."""
    units = Units.of(preprocess, scale, bias)

    def apply(model: Authored) -> int:
        assert isinstance(model.patches, PatchEmbed)
        _fold(model.patches, units)
        model.given = units.undo
        return 1

    return Rewrite(
        "normalised inside",
        "(pixel / 255 - mean) / std, computed by the app",
        "it is linear in each channel, so a convolution that does not pad takes it into its kernels and biases; before a "
        "hybrid's, which does, it is a product and a sum",
        apply,
    )


@torch.no_grad()
def _fold(patches: PatchEmbed, units: Units) -> None:
    proj = patches.proj
    if not isinstance(patches.backbone, nn.Identity):
        patches.backbone = Normalised(patches.backbone, units, proj.weight)  # type: ignore[assignment]
        return
    gain, shift = units.columns(proj.weight)
    assert proj.bias is not None
    bias = proj.bias + (proj.weight * shift).sum((1, 2, 3))
    proj.weight, proj.bias = (nn.Parameter(p, requires_grad=False) for p in (proj.weight * gain, bias))
