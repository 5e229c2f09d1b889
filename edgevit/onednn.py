"""Products of float32 on a CPU by oneDNN, which knows more processors than MKL, to which torch takes a Linear.

On an AMD EPYC a B/16 answers in half the time. A Linear is a convolution over a single pixel. torch's own `conv2d` asks
oneDNN only where there is more than one thread, so its operator for that is called here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., in) by weight (out, in), plus bias (out): what torch's `linear` gives, but for the order of its sums."""
    if not _taken(x, weight):
        return F.linear(x, weight, bias)
    pixels = x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
    found: Tensor = _Convolution.apply(pixels, weight[:, :, None, None], bias, (1, 1), (1, 1), 1)  # type: ignore[no-untyped-call]
    return found.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """x (N, in, H, W) by weight (out, in / groups, h, w), without margins: torch's `conv2d`, but for the order of its sums."""
    if not _taken(x, weight):
        return F.conv2d(x, weight, bias, stride, 0, dilation, groups)
    found: Tensor = _Convolution.apply(x, weight, bias, stride, dilation, groups)  # type: ignore[no-untyped-call]
    return found


def _taken(x: Tensor, weight: Tensor) -> bool:
    single = x.dtype is torch.float32 is weight.dtype and x.device.type == "cpu" and x.numel() > 0
    learned = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return single and not learned and torch.backends.mkldnn.is_available()


class _Convolution(torch.autograd.Function):
    """oneDNN's, which has no rule of torch's for a batch of inputs to one function: they are one larger input."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], dilation: Sequence[int], groups: int
    ) -> Tensor:
        return torch.ops.aten.mkldnn_convolution(x, weight, bias, (0, 0), stride, dilation, groups)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept, since nothing is learned through it."""

    @staticmethod
    def vmap(info: Any, axes: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> tuple[Tensor, int]:
        if axes[0] is None or any(axis is not None for axis in axes[1:3]):  # a weight for each input, which nothing here has
            stride, dilation, groups = how
            each = torch.vmap(lambda x, weight, bias: F.conv2d(x, weight, bias, stride, 0, dilation, groups), in_dims=axes[:3])
            return each(x, weight, bias), 0
        inputs = x.movedim(axes[0], 0)
        found: Tensor = _Convolution.apply(inputs.flatten(0, 1), weight, bias, *how)  # type: ignore[no-untyped-call]
        return found.unflatten(0, inputs.shape[:2]), 0


class ByOneDNN(TorchFunctionMode):
    """While it lasts, every Linear of a model is computed so, and every convolution of that kind.

    One whose weights are torchao's computes as it always does.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and _plain(*args, **kwargs):
            return linear(*args, **kwargs)
        if func is F.conv2d and len(args) <= 3 and not kwargs and _plain(*args):
            return conv2d(*args)
        return func(*args, **kwargs)


def _plain(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    return type(input) is Tensor and type(weight) in (Tensor, torch.nn.Parameter)
