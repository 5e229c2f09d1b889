"""The integers that a package really holds, to be compared with those that a recipe made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.mil import package


def integers(path: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Quantized weights of the package at `path`: the name of each, its integers, and its scales, as stored.

    Scales have as many axes as the integers, each of size 1 where all share a scale, or of the number of blocks. So
    integers * scales, the scales repeated over their blocks, are the weights. An offset other than zero is taken off
    the integers, which are int16 then. Palettes and float weights are left out. Raises DamagedFile.
    """
    found = {}
    for operation in package.read(path).main.operations:
        if operation.op_type == "constexpr_affine_dequantize":
            found[operation.outputs[0].name] = _affine(operation)
        elif operation.op_type == "constexpr_blockwise_shift_scale":
            found[operation.outputs[0].name] = _blockwise(operation)
    return found


def _affine(operation: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """iOS 16: one scale and zero point for all, or a vector of them along an axis."""
    data = operation.quantized_data.val
    shape = [1] * data.ndim
    shape[operation.axis.val] = -1
    scale, zero = (np.asarray(given.val).reshape(shape) for given in (operation.scale, operation.zero_point))
    return _centred(data, zero), scale


def _blockwise(operation: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """iOS 18: one scale and perhaps an offset for each block."""
    data, scale = operation.data.val, operation.scale.val
    if operation.offset is None:
        return data, scale
    offset = operation.offset.val
    for axis, size in enumerate(data.shape):
        offset = np.repeat(offset, size // offset.shape[axis], axis)
    return _centred(data, offset), scale


def _centred(data: NDArray[Any], zero: NDArray[Any]) -> NDArray[Any]:
    return data.astype(np.int16) - zero.astype(np.int16) if zero.any() else data
