"""Training that sees the rounding: torchao's fake-quantized Linears, on the grids that quantizing with care has found.

A training begins with the integers of that, and keeps their scales and palettes: it has only to better what rounding alone does.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
from torch import Tensor, nn
from torchao.quantization.qat import FakeQuantizedLinear, IntxFakeQuantizeConfig
from torchao.quantization.qat.fake_quantizer import FakeQuantizerBase

from edgevit.vit.model import ViT
from quantize.grid import Integers, Palette
from quantize.quantized import Matrix, Quantized

ACTIVATIONS = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
"""As every target with dynamic activations rounds them."""


class OnGrid(FakeQuantizerBase):
    """Weights (out, in) to the nearest values of a grid; gradients pass as if nothing had happened.

    torchao's own fake quantizer divides by 7.5 and reaches -8: other integers than ours.
    """

    steps: Tensor

    def __init__(self, made: Integers | Palette) -> None:
        super().__init__()
        self.made = made
        steps = made.scale if isinstance(made, Integers) else made.colours
        self.register_buffer("steps", steps, persistent=False)  # goes to the device with the model, and into no checkpoint

    @property
    def grid(self) -> Integers | Palette:
        return dataclasses.replace(self.made, scale=self.steps) if isinstance(self.made, Integers) else Palette(self.steps)

    def forward(self, weight: Tensor) -> Tensor:
        plain = weight.detach().float()
        columns = torch.arange(plain.shape[1], device=plain.device)
        rounded = self.grid.values(self.grid.nearest(plain, columns), columns)
        return weight + (rounded - plain).to(weight.dtype)

    def matrix(self, weight: Tensor) -> Matrix:
        """Where these weights lie on it, on the CPU."""
        plain = weight.detach().float()
        return Matrix(self.grid.nearest(plain, torch.arange(plain.shape[1], device=plain.device)).cpu(), self.made)


def prepare(model: ViT, made: Quantized, dynamic: bool) -> None:
    """Let `model` compute from now on with its Linears rounded as `made`, and begin with those values.

    Parameters and their names stay. `dynamic`: activations are rounded too, as int8 per token.
    """
    for name, value in made.changed.items():
        model.get_parameter(name).data = value.clone()
    for name, matrix in made.matrices.items():
        linear = cast(nn.Linear, model.get_submodule(name))
        linear.weight.data = matrix.values()
        with torch.device("meta"):
            seeing = FakeQuantizedLinear(linear.in_features, linear.out_features, True)
        seeing.weight, seeing.bias = linear.weight, linear.bias
        seeing.weight_fake_quantizer = OnGrid(matrix.grid)
        if dynamic:
            seeing.activation_fake_quantizer = FakeQuantizerBase.from_config(ACTIVATIONS)
        model.set_submodule(name, seeing)


def learned(model: ViT) -> Quantized:
    """The integers, or places in palettes, that a prepared model computes with."""
    linears = ((name, m) for name, m in model.named_modules() if isinstance(m, FakeQuantizedLinear))
    return Quantized({name: cast(OnGrid, linear.weight_fake_quantizer).matrix(linear.weight) for name, linear in linears})
