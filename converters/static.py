"""Static int8 for ExecuTorch by PyTorch 2's export: XNNPACK's own quantizer, told the ranges and integers that the recipe has."""

from __future__ import annotations

from typing import ClassVar

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
from torch import Tensor, nn
from torchao.quantization.pt2e import ObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationSpec
from torchao.quantization.pt2e.quantizer.quantizer import FixedQParamsQuantizationSpec
from torchao.quantization.pt2e.quantizer.utils import QuantizationConfig

from converters.linear import Held, dequantized, held, statics
from converters.rewrite.parts import Authored
from edgevit.vit.static import LEAST, MOST, Rounding


class PerChannelKnown(ObserverBase):
    """Instead of looking at weights it knows their scales. torchao passes the axis of the channels by this name alone.

    Its own observer of extremes has no scale under 2^-12: a channel of small weights would get other integers.
    """

    def __init__(self, scale: Tensor, dtype: torch.dtype, ch_axis: int, **limits: object) -> None:
        super().__init__(dtype)
        self.scale, self.ch_axis, self.qscheme = scale, ch_axis, limits["qscheme"]
        self.quant_min, self.quant_max = limits["quant_min"], limits["quant_max"]

    def forward(self, x: Tensor) -> Tensor:
        return x

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


class LinearsAlone(XNNPACKQuantizer):
    """Its pattern for concatenations annotates those of the whole model, whatever name or filter it is told."""

    SUPPORTED_PATTERNS: ClassVar = [p for p in XNNPACKQuantizer.SUPPORTED_PATTERNS if p.name == "linear"]


def graph(model: Authored) -> nn.Module:
    """What `model` computes for one image, the Linears that round what enters and leaves them between int8 tensors."""
    quantizer = LinearsAlone()
    for name, linear in statics(model).items():
        integers = held(linear)
        assert integers
        quantizer.set_module_name(
            name, QuantizationConfig(_activation(linear.entering), _activation(linear.leaving), _weights(integers), None)
        )
    example = (torch.zeros(1, 3, *model.config.image_size),)
    prepared = prepare_pt2e(torch.export.export(dequantized(model), example).module(), quantizer)
    prepared(*example)
    made: nn.Module = convert_pt2e(prepared)
    return made


def _activation(rounding: Rounding) -> FixedQParamsQuantizationSpec:
    scale, zero = rounding.single
    return FixedQParamsQuantizationSpec(torch.int8, scale, zero, LEAST, MOST, torch.per_tensor_affine)


def _weights(integers: Held) -> QuantizationSpec:
    return QuantizationSpec(
        torch.int8,
        PerChannelKnown.with_args(scale=integers.scale[:, 0]),
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
