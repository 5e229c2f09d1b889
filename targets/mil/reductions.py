"""The operations of MIL along axes: sums, norms, places of the largest, running sums and sorting.

Source: coremltools/converters/mil/mil/ops/defs, iOS15/reduction.py and tensor_operation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from targets.mil.moves import Operation, ints


def reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operation:
    """Over all axes where none are named."""

    def reduce(x: Tensor, keep_dims: Tensor, axes: Tensor | None = None) -> Tensor:
        dims = list(range(x.ndim)) if axes is None else ints(axes)
        return function(x, dims, bool(keep_dims))

    return reduce


def mean(x: Tensor, dims: list[int], keep: bool) -> Tensor:
    return torch.mean(x.float(), dims, keepdim=keep)


def product(x: Tensor, dims: list[int], keep: bool) -> Tensor:
    for dim in sorted((dim % x.ndim for dim in dims), reverse=True):
        x = torch.prod(x, dim, keepdim=keep)
    return x


def place(function: Callable[..., Tensor]) -> Operation:
    def reduce(x: Tensor, axis: Tensor, keep_dims: Tensor, output_dtype: str = "int32") -> Tensor:
        return function(x, int(axis), keepdim=bool(keep_dims))

    return reduce


def softmax(x: Tensor, axis: Tensor) -> Tensor:
    return torch.softmax(x, int(axis))


def cumsum(x: Tensor, axis: Tensor, exclusive: Tensor, reverse: Tensor) -> Tensor:
    dim = int(axis)
    turned = x.flip(dim) if reverse else x
    sums = torch.cumsum(turned, dim)
    sums = sums - turned if exclusive else sums
    return sums.flip(dim) if reverse else sums


def argsort(x: Tensor, axis: Tensor, ascending: Tensor) -> Tensor:
    return torch.argsort(x, dim=int(axis), descending=not ascending, stable=True)


def topk(
    x: Tensor,
    axis: Tensor,
    ascending: Tensor,
    k: Tensor | None = None,
    sort: Tensor | None = None,
    return_indices: Tensor | None = None,
    output_indices_dtype: str = "int32",
) -> Sequence[Tensor]:
    """The k largest, or smallest where `ascending`, in order, and their places; all of the axis where k is -1 or absent."""
    dim = int(axis)
    count = x.shape[dim] if k is None or int(k) == -1 else int(k)
    places = torch.argsort(x, dim=dim, descending=not ascending, stable=True).narrow(dim, 0, count)
    values = x.gather(dim, places)
    return [values] if return_indices is not None and not return_indices else [values, places]


REDUCTIONS: dict[str, Operation] = {
    "argsort": argsort,
    "cumsum": cumsum,
    "reduce_argmax": place(torch.argmax),
    "reduce_argmin": place(torch.argmin),
    "reduce_l1_norm": reduction(lambda x, dims, keep: x.abs().sum(dims, keepdim=keep)),
    "reduce_l2_norm": reduction(lambda x, dims, keep: x.float().square().sum(dims, keepdim=keep).sqrt()),
    "reduce_log_sum": reduction(lambda x, dims, keep: x.float().sum(dims, keepdim=keep).log()),
    "reduce_log_sum_exp": reduction(lambda x, dims, keep: torch.logsumexp(x.float(), dims, keepdim=keep)),
    "reduce_max": reduction(lambda x, dims, keep: torch.amax(x, dims, keepdim=keep)),
    "reduce_mean": reduction(mean),
    "reduce_min": reduction(lambda x, dims, keep: torch.amin(x, dims, keepdim=keep)),
    "reduce_prod": reduction(product),
    "reduce_sum": reduction(lambda x, dims, keep: x.sum(dims, keepdim=keep)),
    "reduce_sum_square": reduction(lambda x, dims, keep: x.square().sum(dims, keepdim=keep)),
    "softmax": softmax,
    "topk": topk,
}
