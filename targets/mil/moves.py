"""The operations of MIL that only move values, as pure functions of torch: what is stored already needs no rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Operation = Callable[..., Tensor | Sequence[Tensor]]


def ints(parameter: Tensor) -> list[int]:
    """A parameter that is a vector of constants: axes, sizes, masks."""
    return [int(number) for number in parameter.tolist()]


def concat(values: Sequence[Tensor], axis: Tensor, interleave: Tensor) -> Tensor:
    if values[0].ndim == 0:
        return torch.stack(list(values))
    if interleave:
        dim = int(axis) % values[0].ndim
        return torch.stack(list(values), dim + 1).flatten(dim, dim + 1)
    return torch.cat(list(values), int(axis))


def stack(values: Sequence[Tensor], axis: Tensor) -> Tensor:
    return torch.stack(list(values), int(axis))


def split(x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None) -> Sequence[Tensor]:
    if split_sizes is not None:
        return torch.split(x, ints(split_sizes), int(axis))
    if num_splits is None:
        raise ValueError("a split needs num_splits or split_sizes")
    return torch.split(x, x.shape[int(axis)] // int(num_splits), int(axis))


def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """A 0 keeps the size of that axis, a -1 is what remains."""
    return x.reshape([size or x.shape[axis] for axis, size in enumerate(ints(shape))])


def transpose(x: Tensor, perm: Tensor) -> Tensor:
    return x.permute(ints(perm))


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """An axis that is not of size 1 stays."""
    return x.squeeze() if axes is None else x.squeeze(ints(axes))


def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """Axes count in the result."""
    rank = x.ndim + axes.numel()
    for axis in sorted(axis % rank for axis in ints(axes)):
        x = x.unsqueeze(axis)
    return x


def tile(x: Tensor, reps: Tensor) -> Tensor:
    return x.repeat(ints(reps))


def slice_by_index(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """Python's x[begin:end:stride] along every axis.

    Masks, by axis: leave out begin, leave out end, or pick the one at begin and drop the axis.
    """
    begins, ends = ints(begin), ints(end)
    steps = ints(stride) if stride is not None else [1] * x.ndim
    no_begin, no_end, drop = (
        [False] * x.ndim if mask is None else mask.tolist() for mask in (begin_mask, end_mask, squeeze_mask)
    )
    for axis in range(x.ndim):
        every = range(x.shape[axis])
        first = None if no_begin[axis] else begins[axis]
        last = None if no_end[axis] else ends[axis]
        picked = [every[first or 0]] if drop[axis] else list(every[first : last : steps[axis]])
        if picked != list(every):
            x = x.index_select(axis, torch.tensor(picked, dtype=torch.int64))
    return x.squeeze([axis for axis in range(x.ndim) if drop[axis]])


def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """A size of -1 is the rest of the axis."""
    for axis, (first, length) in enumerate(zip(ints(begin), ints(size), strict=True)):
        first %= x.shape[axis]
        x = x.narrow(axis, first, x.shape[axis] - first if length == -1 else length)
    return x


def gather(
    x: Tensor, indices: Tensor, axis: Tensor | int, batch_dims: Tensor | int = 0, validate_indices: Tensor | None = None
) -> Tensor:
    dim, batch = int(axis) % x.ndim, int(batch_dims)
    if batch:
        return torch.stack([gather(a, i, dim - 1, batch - 1) for a, i in zip(x, indices, strict=True)])
    flat = indices.reshape(-1).long()
    picked = x.index_select(dim, torch.where(flat < 0, flat + x.shape[dim], flat))
    return picked.reshape(x.shape[:dim] + indices.shape + x.shape[dim + 1 :])


def identity(x: Tensor) -> Tensor:
    return x


MOVES: dict[str, Operation] = {
    "concat": concat,
    "expand_dims": expand_dims,
    "gather": gather,
    "identity": identity,
    "reshape": reshape,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "split": split,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "transpose": transpose,
}
