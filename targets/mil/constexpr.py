"""Compressed constants made dense: quantized, palettized and sparse weights.

Each function is one operation of MIL, its parameters named as there. Where iOS 18 redefined an operation of iOS 16, one
function serves both: the older form has a `shape` and bits packed into bytes. Source: the operation's docstring in
coremltools/converters/mil/mil/ops/defs, iOS16/constexpr_ops.py and iOS18/compression.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from targets.mil.moves import Operation


def affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    """scale * (data - zero point), both either a scalar or a vector along `axis`."""
    shape = [1] * quantized_data.ndim
    shape[int(axis)] = -1
    return scale.reshape(shape) * (quantized_data.float() - zero_point.float().reshape(shape))


def blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """scale * (data - offset), each scale and offset for a block of `data`."""
    shifted = data.float() if offset is None else data.float() - repeated(offset.float(), data.shape)
    return repeated(scale, data.shape) * shifted


def lut_to_dense(indices: Tensor, lut: Tensor, shape: Tensor | None = None, vector_axis: Tensor | None = None) -> Tensor:
    """Indices looked up in one table of values (iOS 16) or in one table of vectors for each block (iOS 18)."""
    if shape is not None:
        bits = lut.numel().bit_length() - 1
        return lut[unpacked(indices, bits, shape)]
    *blocks, palettes, width = lut.shape
    table = torch.arange(lut.numel() // (palettes * width)).reshape(blocks)
    dense = lut.reshape(-1, width)[repeated(table, indices.shape) * palettes + indices]
    if width == 1 or vector_axis is None:
        return dense.squeeze(-1)
    axis = int(vector_axis) % indices.ndim
    return dense.movedim(-1, axis + 1).flatten(axis, axis + 1)


def sparse_to_dense(nonzero_data: Tensor, mask: Tensor, shape: Tensor | None = None) -> Tensor:
    """Values where the mask has a one, and zeros elsewhere."""
    if shape is not None:
        mask = unpacked(mask, 1, shape)
    return torch.zeros(mask.shape, dtype=nonzero_data.dtype).masked_scatter(mask.bool(), nonzero_data)


def lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: Tensor | None = None
) -> Sequence[Tensor]:
    """Indices of what is not zero alone, looked up: the mask of the values and the values, for `sparse_to_dense`."""
    dense = lut_to_dense(sparse_to_dense(indices_nonzero_data, indices_mask), lut, None, vector_axis)
    mask = indices_mask if vector_axis is None else indices_mask.repeat_interleave(lut.shape[-1], int(vector_axis))
    return mask, dense[mask.bool()]


def sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> Sequence[Tensor]:
    """Of what is not zero alone: its mask and the values, for `sparse_to_dense`."""
    dense = blockwise_shift_scale(sparse_to_dense(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask.bool()]


def cast(source_val: Tensor, output_dtype: str) -> Tensor:
    return source_val


def repeated(blocks: Tensor, shape: torch.Size) -> Tensor:
    """`blocks` repeated along every axis to fill `shape`."""
    for axis, size in enumerate(shape):
        blocks = blocks.repeat_interleave(size // blocks.shape[axis], axis)
    return blocks


def unpacked(packed: Tensor, bits: int, shape: Tensor) -> Tensor:
    """Unsigned numbers of `bits` bits that are packed into bytes, the least significant bit first."""
    sizes = shape.tolist()
    count = int(np.prod(sizes))
    every = np.unpackbits(packed.numpy(), bitorder="little")[: count * bits].reshape(count, bits)
    return torch.from_numpy(np.packbits(every, axis=1, bitorder="little")).reshape(sizes).long()


CONSTEXPR: dict[str, Operation] = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_cast": cast,
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_lut_to_sparse": lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": sparse_to_dense,
}
