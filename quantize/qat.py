"""Training that sees the rounding: torchao's fake-quantized Linears, on the grids that the integers will lie on."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torchao.quantization.qat import FakeQuantizedLinear, IntxFakeQuantizeConfig
from torchao.quantization.qat.fake_quantizer import FakeQuantizerBase

from edgevit.types import QuantRecipe, Weights
from edgevit.vit.model import ViT
from quantize.apply import forms
from quantize.grid import Integers, Palette, grid

ACTIVATIONS = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
"""As every target with dynamic activations rounds them."""


STEPS = 100
"""Of training with one palette."""


class OnGrid(FakeQuantizerBase):
    """Weights (out, in) to what they will be on the grid of `form`; gradients pass as if nothing had happened.

    torchao's own fake quantizer divides by 7.5 and reaches -8: other integers than ours.
    """

    def __init__(self, form: Weights) -> None:
        super().__init__()
        self.form = form
        self._palette: Integers | Palette | None = None
        self._left = 0

    def train(self, mode: bool = True) -> OnGrid:
        """A palette is found anew, also where a run goes on: at the beginning of an epoch both are the same."""
        self._palette = None
        return super().train(mode)

    def forward(self, weight: Tensor) -> Tensor:
        plain = weight.detach().float()
        made = self._grid(plain)
        columns = torch.arange(plain.shape[1], device=plain.device)
        rounded = made.values(made.nearest(plain, columns), columns)
        return weight + (rounded - plain).to(weight.dtype)

    def _grid(self, plain: Tensor) -> Integers | Palette:
        """That of these weights; of a palette, in training, the one of some steps ago, since k-means takes longer than a step."""
        if self.form.kind != "palette" or not self.training:
            return grid(plain, self.form)
        if self._palette is None or not self._left:
            self._palette, self._left = grid(plain, self.form), STEPS
        self._left -= 1
        return self._palette


def prepare(model: ViT, recipe: QuantRecipe) -> None:
    """Let `model` see the rounding of `recipe` from now on. Parameters and their names stay. Raises BadInput."""
    for name, form in forms(model, recipe).items():
        linear = cast(nn.Linear, model.get_submodule(name))
        with torch.device("meta"):
            seeing = FakeQuantizedLinear(linear.in_features, linear.out_features, True)
        seeing.weight, seeing.bias = linear.weight, linear.bias
        seeing.weight_fake_quantizer = OnGrid(form)
        if recipe.activations == "dynamic":
            seeing.activation_fake_quantizer = FakeQuantizerBase.from_config(ACTIVATIONS)
        model.set_submodule(name, seeing)
