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


def gather_along_axis(x: Tensor, indices: Tensor, axis: Tensor, validate_indices: Tensor | None = None) -> Tensor:
    """Each number of the result is found by its own index along `axis`."""
    dim = int(axis)
    places = indices.long()
    return x.gather(dim, torch.where(places < 0, places + x.shape[dim], places))


def gather_nd(x: Tensor, indices: Tensor, batch_dims: Tensor | int = 0, validate_indices: Tensor | None = None) -> Tensor:
    """The last axis of `indices` names a place within the first axes of `x`."""
    if batch := int(batch_dims):
        return torch.stack([gather_nd(a, i, batch - 1) for a, i in zip(x, indices, strict=True)])
    places = indices.long().unbind(-1)
    wrapped = [torch.where(place < 0, place + size, place) for place, size in zip(places, x.shape, strict=False)]
    return x[tuple(wrapped)]


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(cond.bool(), a, b)


def reverse(x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.flip(list(range(x.ndim)) if axes is None else ints(axes))


def band_part(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Zeros outside of a band around the diagonal of the last two axes; -1 keeps all on that side."""
    x = x if int(upper) < 0 else x.tril(int(upper))
    return x if int(lower) < 0 else x.triu(-int(lower))


def flatten2d(x: Tensor, axis: Tensor) -> Tensor:
    """All axes before `axis` become one, and the others another."""
    return x.reshape(x.shape[: int(axis)].numel(), -1)


def depth_to_space(x: Tensor, block_size: Tensor) -> Tensor:
    """Channels to the places within blocks; the channels of the result lie innermost, other than in `pixel_shuffle`."""
    n, channels, height, width = x.shape
    size = int(block_size)
    blocks = x.reshape(n, size, size, channels // size**2, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, -1, height * size, width * size)


def space_to_depth(x: Tensor, block_size: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    size = int(block_size)
    blocks = x.reshape(n, channels, height // size, size, width // size, size)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, height // size, width // size)


def pixel_shuffle(x: Tensor, upscale_factor: Tensor) -> Tensor:
    return torch.pixel_shuffle(x, int(upscale_factor))


def pixel_unshuffle(x: Tensor, downscale_factor: Tensor) -> Tensor:
    return torch.pixel_unshuffle(x, int(downscale_factor))


def identity(x: Tensor) -> Tensor:
    return x


MOVES: dict[str, Operation] = {
    "band_part": band_part,
    "concat": concat,
    "depth_to_space": depth_to_space,
    "expand_dims": expand_dims,
    "flatten2d": flatten2d,
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
    "identity": identity,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "reshape": reshape,
    "reverse": reverse,
    "select": select,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "space_to_depth": space_to_depth,
    "split": split,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "transpose": transpose,
}
