"""The operations of MIL that a Vision Transformer needs, as pure functions of torch.

Parameters are named as MIL names them; coremltools has filled in its defaults, so a parameter is optional here only
where MIL itself lets it be absent. Semantics: coremltools/converters/mil/mil/ops/defs, where later versions of an
operation only add to what the first one took. Values of type fp16 come in as float32, and a result is rounded to its
type by `targets.mil.values.stored`: an operation computes in float32 and rounds once, at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from targets.mil import constexpr
from targets.mil.moves import MOVES, Operation, ints


def unary(function: Callable[[Tensor], Tensor]) -> Operation:
    return lambda x: function(x)


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda x, y: function(x, y)


def reduction(function: Callable[..., Tensor]) -> Operation:
    def reduce(x: Tensor, keep_dims: Tensor, axes: Tensor | None = None) -> Tensor:
        dims = list(range(x.ndim)) if axes is None else ints(axes)
        return function(x, dims, keepdim=bool(keep_dims))

    return reduce


def rsqrt(x: Tensor, epsilon: Tensor) -> Tensor:
    return torch.rsqrt(x + epsilon)


def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return x.clamp(float(alpha), float(beta))


def log(x: Tensor, epsilon: Tensor) -> Tensor:
    return torch.log(x + epsilon)


def gelu(x: Tensor, mode: str) -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def softmax(x: Tensor, axis: Tensor) -> Tensor:
    return torch.softmax(x, int(axis))


def cast(x: Tensor, dtype: str) -> Tensor:
    """Nothing to compute: every result is stored as its type."""
    return x


def matmul(x: Tensor, y: Tensor, transpose_x: Tensor, transpose_y: Tensor) -> Tensor:
    x = x.mT if transpose_x and x.ndim > 1 else x
    y = y.mT if transpose_y and y.ndim > 1 else y
    return x @ y


def einsum(values: Sequence[Tensor], equation: str) -> Tensor:
    """MIL knows one equation in rank 4 and one in rank 3, under any letters; an axis of size 1 is broadcast."""
    return torch.einsum(equation, *values)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(x, weight, bias)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """A mask of booleans says who takes part, a mask of numbers is added to the scores."""
    scores = query / query.shape[-1] ** 0.5 @ key.mT
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, -1) @ value


def layer_norm(x: Tensor, axes: Tensor, epsilon: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None) -> Tensor:
    """Over any axes; gamma and beta have the shape of those axes of `x`."""
    dims = sorted(axis % x.ndim for axis in ints(axes))
    last = list(range(-len(dims), 0))
    sizes = [x.shape[dim] for dim in dims]
    return F.layer_norm(x.movedim(dims, last), sizes, gamma, beta, float(epsilon)).movedim(last, dims)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
) -> Tensor:
    return F.batch_norm(x, mean, variance, gamma, beta, eps=float(epsilon))


CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


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
    pads = ints(pad) if pad_type == "custom" else padding(pad_type, x.shape[2:], kernel, stride)
    last_first = [pads[2 * axis + side] for axis in reversed(range(len(kernel))) for side in (0, 1)]
    return CONVOLUTIONS[x.ndim](F.pad(x, last_first), weight, bias, stride, 0, dilation, int(groups))


def pad(x: Tensor, pad: Tensor, mode: str, constant_val: Tensor) -> Tensor:
    """`pad` holds before and after of the last axes, in the order of the axes; torch wants the last axis first."""
    amounts = ints(pad)
    last_first = [amounts[2 * axis + side] for axis in reversed(range(len(amounts) // 2)) for side in (0, 1)]
    if mode == "constant":
        return F.pad(x, last_first, value=float(constant_val))
    return F.pad(x, last_first, mode=mode)


def max_pool(x: Tensor, kernel_sizes: Tensor, strides: Tensor, pad_type: str, pad: Tensor, ceil_mode: Tensor) -> Tensor:
    kernel, stride = ints(kernel_sizes), ints(strides)
    pads = ints(pad) if pad_type == "custom" else padding(pad_type, x.shape[2:], kernel, stride)
    last_first = [pads[2 * axis + side] for axis in reversed(range(len(kernel))) for side in (0, 1)]
    return POOLS[x.ndim](F.pad(x, last_first, value=-torch.inf), kernel, stride, ceil_mode=bool(ceil_mode))


POOLS: dict[int, Callable[..., Tensor]] = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}


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


OPERATIONS: dict[str, Operation] = MOVES | {
    "abs": unary(torch.abs),
    "add": binary(torch.add),
    "batch_norm": batch_norm,
    "cast": cast,
    "clip": clip,
    "constexpr_affine_dequantize": constexpr.affine_dequantize,
    "constexpr_blockwise_shift_scale": constexpr.blockwise_shift_scale,
    "constexpr_cast": constexpr.cast,
    "constexpr_lut_to_dense": constexpr.lut_to_dense,
    "constexpr_sparse_to_dense": constexpr.sparse_to_dense,
    "conv": conv,
    "einsum": einsum,
    "erf": unary(torch.erf),
    "exp": unary(torch.exp),
    "gelu": gelu,
    "layer_norm": layer_norm,
    "linear": linear,
    "log": log,
    "matmul": matmul,
    "max_pool": max_pool,
    "maximum": binary(torch.maximum),
    "minimum": binary(torch.minimum),
    "mul": binary(torch.mul),
    "pad": pad,
    "pow": binary(torch.pow),
    "real_div": binary(torch.div),
    "reduce_max": reduction(torch.amax),
    "reduce_mean": reduction(torch.mean),
    "reduce_sum": reduction(torch.sum),
    "relu": unary(torch.relu),
    "rsqrt": rsqrt,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "sigmoid": unary(torch.sigmoid),
    "silu": unary(F.silu),
    "softmax": softmax,
    "sqrt": unary(torch.sqrt),
    "square": unary(torch.square),
    "sub": binary(torch.sub),
    "tanh": unary(torch.tanh),
}
