"""Apply a recipe to a model through torchao's `quantize_`, and read back what it made.

The weights lie on a symmetric grid whose scale is the channel's largest magnitude over 127, so every channel uses the
integers -127..127 and reaches an end of them. torchao's own symmetric mapping divides by 127.5 and reaches -128, which TFLite's
int8 specification excludes; on our grid a back end that quantizes the dequantized weights again finds the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchao.core.config import AOBaseConfig
from torchao.quantization import IntxUnpackedToInt8Tensor, quantize_
from torchao.quantization.quantize_.workflows.intx.intx_unpacked_to_int8_tensor import (
    IntxUnpackedToInt8TensorActivationQuantization as Activations,
)
from torchao.quantization.transform_module import register_quantize_module_handler

from edgevit.errors import EdgevitError
from edgevit.types import QuantRecipe

LARGEST = 127


@dataclass
class SymmetricInt8(AOBaseConfig):
    """torchao config: int8 weights per output channel; `dynamic` adds int8 activations, asymmetric per token."""

    dynamic: bool


@register_quantize_module_handler(SymmetricInt8)  # type: ignore[untyped-decorator]
def _quantize_linear(linear: nn.Linear, config: SymmetricInt8) -> nn.Linear:
    weight = linear.weight.detach()
    scale = (weight.abs().amax(dim=1, keepdim=True) / LARGEST).clamp_min(torch.finfo(weight.dtype).tiny)
    quantized = IntxUnpackedToInt8Tensor.from_hp(
        weight,
        (1, weight.shape[1]),
        torch.int8,
        activation_quantization=Activations.INT8_ASYM_PER_TOKEN if config.dynamic else None,
        intx_choose_qparams_algorithm=None,
        custom_scale=scale,
        custom_zero_point=torch.zeros_like(scale, dtype=torch.int8),
    )
    linear.weight = nn.Parameter(quantized, requires_grad=False)
    return linear


def apply(model: nn.Module, recipe: QuantRecipe, activations: bool) -> nn.Module:
    """Quantize `model` in place as `recipe` says and return it; `activations` says whether the target quantizes them."""
    if recipe.weights.kind == "int":
        quantize_(model, SymmetricInt8(dynamic=activations and recipe.activations != "none"))
    elif recipe.weights.bits == 16:
        _round_to_half(model)
    return model


def _round_to_half(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        half = parameter.data.half()
        if not half.isfinite().all():
            raise EdgevitError(f"{name} holds values beyond float16", "use fp32 or int8")
        parameter.data = half.float()


def integers(model: nn.Module) -> dict[str, Tensor]:
    """The int8 matrix (out, in) of every quantized Linear, by its name."""
    linears = ((name, module.weight) for name, module in model.named_modules() if isinstance(module, nn.Linear))
    return {name: weight.qdata for name, weight in linears if isinstance(weight, IntxUnpackedToInt8Tensor)}
