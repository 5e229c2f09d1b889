"""The operations of MIL that an image classifier needs, as pure functions of torch: products and norms, and the table of all.

Parameters are named as MIL names them; coremltools has filled in its defaults, so a parameter is optional here only
where MIL itself lets it be absent. Semantics: coremltools/converters/mil/mil/ops/defs, where later versions of an
operation only add to what the first one took. Values of type fp16 come in as float32, and a result is rounded to its
type by `targets.mil.values.stored`: an operation computes in float32 and rounds once, at its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevit.onednn import linear
from targets.mil.constexpr import CONSTEXPR
from targets.mil.moves import MOVES, Operation, ints
from targets.mil.pointwise import POINTWISE
from targets.mil.reductions import REDUCTIONS
from targets.mil.windows import WINDOWS


def matmul(x: Tensor, y: Tensor, transpose_x: Tensor, transpose_y: Tensor) -> Tensor:
    x = x.mT if transpose_x and x.ndim > 1 else x
    y = y.mT if transpose_y and y.ndim > 1 else y
    return x @ y


def einsum(values: Sequence[Tensor], equation: str) -> Tensor:
    """MIL knows one equation in rank 4 and one in rank 3, under any letters; an axis of size 1 is broadcast."""
    return torch.einsum(equation, *values)


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


def instance_norm(x: Tensor, epsilon: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None) -> Tensor:
    """Each channel of each image by itself."""
    return F.instance_norm(x, weight=gamma, bias=beta, eps=float(epsilon))


def l2_norm(x: Tensor, epsilon: Tensor) -> Tensor:
    """Over all but the batch, in rank 3 over everything: the last three axes."""
    dims = list(range(-min(x.ndim, 3), 0))
    return x / torch.sqrt(x.square().sum(dims, keepdim=True) + epsilon)


def quantize(
    input: Tensor, scale: Tensor, output_dtype: str, zero_point: Tensor | None = None, axis: Tensor | None = None
) -> Tensor:
    """round(input / scale) + zero_point, kept within 8 bits."""
    whole = torch.round(input / _along(scale, input, axis))
    whole = whole if zero_point is None else whole + _along(zero_point, input, axis).float()
    return whole.clamp(0, 255) if output_dtype == "uint8" else whole.clamp(-128, 127)


def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    whole = input.float() if zero_point is None else input.float() - _along(zero_point, input, axis).float()
    return _along(scale, input, axis) * whole


def _along(vector: Tensor, x: Tensor, axis: Tensor | None) -> Tensor:
    """A scalar, or a vector along `axis` of `x`."""
    if axis is None or not vector.ndim:
        return vector
    return vector.reshape([-1 if dim == int(axis) % x.ndim else 1 for dim in range(x.ndim)])


def fill(shape: Tensor, value: Tensor) -> Tensor:
    return value.expand(ints(shape))


def fill_like(ref_tensor: Tensor, value: Tensor) -> Tensor:
    return value.expand(ref_tensor.shape)


def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    return torch.arange(start.item(), end.item(), step.item())


def shape(x: Tensor) -> Tensor:
    return torch.tensor(x.shape)


def one_hot(indices: Tensor, one_hot_vector_size: Tensor, axis: Tensor, on_value: Tensor, off_value: Tensor) -> Tensor:
    """An index that is negative or too large turns nothing on."""
    dim = int(axis) % (indices.ndim + 1)
    classes = torch.arange(int(one_hot_vector_size)).reshape([-1] + [1] * (indices.ndim - dim))
    return torch.where(indices.unsqueeze(dim) == classes, on_value, off_value)


OPERATIONS: dict[str, Operation] = {
    **MOVES,
    **POINTWISE,
    **REDUCTIONS,
    **WINDOWS,
    **CONSTEXPR,
    "batch_norm": batch_norm,
    "dequantize": dequantize,
    "einsum": einsum,
    "fill": fill,
    "fill_like": fill_like,
    "instance_norm": instance_norm,
    "l2_norm": l2_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "matmul": matmul,
    "one_hot": one_hot,
    "quantize": quantize,
    "range_1d": range_1d,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "shape": shape,
}
"""All that is known here, by MIL's name."""
