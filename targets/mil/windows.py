"""The operations of MIL over windows of an image: convolutions, pools, and the margins around them.

Source: coremltools/converters/mil/mil/ops/defs, iOS15/conv.py, pool.py and tensor_operation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevit.onednn import conv2d
from targets.mil.moves import Operation, ints

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {3: F.conv1d, 4: conv2d, 5: F.conv3d}


def conv(
    x: Tensor,
    weight: Tensor,
    strides: Tensor,
    pad_type: str,
    pad: Tensor,
    dilations: Tensor,
    groups: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    stride, dilation = ints(strides), ints(dilations)
    kernel = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilation, strict=True)]
    margins = _margins(x, pad_type, pad, kernel, stride)
    return CONVOLUTIONS[x.ndim](F.pad(x, last_first(margins)), weight, bias, stride=stride, dilation=dilation, groups=int(groups))


MAX_POOLS: dict[int, Callable[..., Tensor]] = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
AVERAGE_POOLS: dict[int, Callable[..., Tensor]] = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


def max_pool(x: Tensor, kernel_sizes: Tensor, strides: Tensor, pad_type: str, pad: Tensor, ceil_mode: Tensor) -> Tensor:
    kernel, stride = ints(kernel_sizes), ints(strides)
    margins = _margins(x, pad_type, pad, kernel, stride)
    return MAX_POOLS[x.ndim](F.pad(x, last_first(margins), value=-torch.inf), kernel, stride, ceil_mode=bool(ceil_mode))


def avg_pool(
    x: Tensor,
    kernel_sizes: Tensor,
    strides: Tensor,
    pad_type: str,
    pad: Tensor,
    exclude_padding_from_average: Tensor,
    ceil_mode: Tensor,
) -> Tensor:
    """Margins count as zeros, or are left out of the average."""
    kernel, stride = ints(kernel_sizes), ints(strides)
    margins = last_first(_margins(x, pad_type, pad, kernel, stride))
    pool = AVERAGE_POOLS[x.ndim]
    average = pool(F.pad(x, margins), kernel, stride, ceil_mode=bool(ceil_mode))
    if not exclude_padding_from_average:
        return average
    return average / pool(F.pad(torch.ones_like(x), margins), kernel, stride, ceil_mode=bool(ceil_mode))


def pad(x: Tensor, pad: Tensor, mode: str, constant_val: Tensor) -> Tensor:
    """`pad` holds before and after of the last axes, in the order of the axes."""
    amounts = ints(pad)
    if mode == "constant":
        return F.pad(x, last_first(amounts), value=constant_val.item())
    first = x.ndim - len(amounts) // 2
    for axis in range(first, x.ndim):
        before, after = amounts[2 * (axis - first) : 2 * (axis - first) + 2]
        x = x.index_select(axis, _mirrored(x.shape[axis], before, after, mode))
    return x


def _mirrored(size: int, before: int, after: int, mode: str) -> Tensor:
    """Places along an axis that continue it at both ends: its mirror without the edge itself, or the edge again and again."""
    places = torch.arange(-before, size + after)
    if mode == "replicate":
        return places.clamp(0, size - 1)
    places = places.abs()
    return torch.where(places >= size, 2 * (size - 1) - places, places)


def last_first(margins: Sequence[int]) -> list[int]:
    """Before and after of each axis as torch wants them, the last axis first."""
    return [margins[2 * axis + side] for axis in reversed(range(len(margins) // 2)) for side in (0, 1)]


def _margins(x: Tensor, pad_type: str, pad: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> list[int]:
    return ints(pad) if pad_type == "custom" else padding(pad_type, x.shape[2:], kernel, stride)


def padding(pad_type: str, sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[int]:
    """Before and after each axis. An odd one goes after (`same`) or before (`same_lower`), as in TensorFlow."""
    if pad_type == "valid":
        return [0, 0] * len(kernel)
    pads = []
    for size, width, step in zip(sizes, kernel, stride, strict=True):
        total = max(0, (-(-size // step) - 1) * step + width - size)
        less, more = total // 2, total - total // 2
        pads += [more, less] if pad_type == "same_lower" else [less, more]
    return pads


WINDOWS: dict[str, Operation] = {"avg_pool": avg_pool, "conv": conv, "max_pool": max_pool, "pad": pad}
