"""Linear maps cut and scaled without touching their integers, whether their weights are floats or torchao's.

Where a Linear rounds what enters and leaves it, the rounding is cut and scaled with it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torchao.quantization import IntxUnpackedToInt8Tensor

from edgevit.vit.static import Rounding, StaticLinear

Model = TypeVar("Model", bound=nn.Module)
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def quantized(linear: nn.Linear) -> bool:
    return isinstance(linear.weight, IntxUnpackedToInt8Tensor)


def matrix(linear: nn.Linear) -> Tensor:
    """The weights (out, in) as floats."""
    weight = linear.weight.detach()
    return weight.dequantize() if isinstance(weight, IntxUnpackedToInt8Tensor) else weight


def rows(linear: nn.Linear, start: int, stop: int) -> nn.Linear:
    """The map to the outputs `start` up to `stop` alone."""
    cut = _linear(linear.weight.detach()[start:stop], linear.bias.detach()[start:stop])
    return _static(cut, linear, linear.leaving.rows(start, stop)) if isinstance(linear, StaticLinear) else cut


def scaled(linear: nn.Linear, factor: float) -> nn.Linear:
    """The map whose outputs are `factor` times those of `linear`. Integers stay; their scales take the factor."""
    weight = linear.weight.detach()
    if isinstance(weight, IntxUnpackedToInt8Tensor):
        weight = _with_scale(weight, weight.scale * factor)
    else:
        weight = weight * factor
    made = _linear(weight, linear.bias.detach() * factor)
    return _static(made, linear, linear.leaving.scaled(factor)) if isinstance(linear, StaticLinear) else made


def after_affine(linear: nn.Linear, gain: Tensor, shift: Tensor) -> nn.Linear:
    """The float map that gives linear(gain * x + shift) for x."""
    weight = linear.weight.detach()
    return _linear(weight * gain, linear.bias.detach() + weight @ shift)


def centred(layer: Layer) -> Layer:
    """The float map or convolution whose outputs are those of `layer` less their mean over the channels."""
    layer = copy.copy(layer)
    layer._parameters = {
        name: nn.Parameter(p.detach() - p.detach().mean(0), requires_grad=False)  # type: ignore[union-attr]
        for name, p in layer._parameters.items()
    }
    return layer


@dataclass(frozen=True)
class Held:
    """A quantized Linear's integers (out, in), in `bits`, and their scales (out, groups)."""

    integers: Tensor
    scale: Tensor
    bits: int


def held(linear: nn.Linear) -> Held | None:
    """What a quantized Linear holds; None for floats."""
    weight = linear.weight.detach()
    if not isinstance(weight, IntxUnpackedToInt8Tensor):
        return None
    bits = 4 if weight.target_dtype is torch.int4 else 8  # type: ignore[attr-defined]
    return Held(weight.qdata, weight.scale, bits)


def dequantized(model: Model) -> Model:
    """A copy of `model` with float weights that lie on the integers' grid, for back ends that know no torchao.

    Its activations are floats.
    """
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and quantized(module):
            module.weight = nn.Parameter(module.weight.detach().dequantize(), requires_grad=False)  # type: ignore[operator]
        if isinstance(module, StaticLinear):
            model.set_submodule(name, _linear(module.weight.detach(), module.bias.detach()))
    return model


def statics(model: nn.Module) -> dict[str, StaticLinear]:
    """The Linears that round what enters and leaves them, by their names."""
    return {name: module for name, module in model.named_modules() if isinstance(module, StaticLinear)}


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


def _static(linear: nn.Linear, like: StaticLinear, leaving: Rounding) -> StaticLinear:
    return StaticLinear.of(linear, like.entering, leaving)


def _with_scale(weight: IntxUnpackedToInt8Tensor, scale: Tensor) -> IntxUnpackedToInt8Tensor:
    return IntxUnpackedToInt8Tensor(
        weight.qdata,
        scale,
        weight.zero_point,
        weight.target_dtype,
        weight.block_size,
        weight.dtype,
        weight.activation_quantization,
    )
