"""Merging patches in products, sums and clamps: no comparison, no sort, no gather."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from converters.rewrite.parts import Authored, between, swap
from converters.rewrite.rewriting import Rewrite
from edgevit.vit.merging import SHARPNESS, PatchMerging

STEEP = 32768.0
"""Twice this takes the least difference of two floats beyond 1, and the largest stays within float16."""


class ProductMerging(nn.Module):
    """PatchMerging of one image: a rank is a sum of steps, and a choice by rank a product with a matrix of ones and zeros.

    Steps are clamps to -1 and 1: LiteRT's XNNPACK delegate takes those, and not one to 0 and 1.
    """

    def __init__(self, merging: PatchMerging, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm, self.apart, self.prefix = merging.norm, merging.apart, merging.prefix
        self.sharpness = SHARPNESS / merging.width
        going, taken = merging.before // 2, merging.before - merging.after

        def fixed(tensor: Tensor) -> nn.Parameter:
            return nn.Parameter(tensor.to(dtype), requires_grad=False)

        self.one, self.one_half, self.middle, self.taken = (
            fixed(torch.full((1, 1, 1), x)) for x in (1.0, 0.5, going / 2, 2.0 * taken - 1)
        )
        self.first = fixed(2 * torch.ones(1, going, going).tril(-1) - 1)
        self.places = fixed(torch.arange(taken, going).reshape(1, -1, 1)) if taken < going else None
        self.alone = fixed(torch.ones(1, self.prefix, 1)) if self.prefix else None  # what stands before the patches
        self.single = fixed(torch.ones(1, self.prefix + going - taken, 1)) if self.prefix + going > taken else None

    def forward(self, x: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        patches = between(x, self.prefix, None, 1)
        going, staying = self.apart(patches)
        alike = self._alike(*self.apart(self.norm(patches)))
        share = torch.softmax(alike, -1)
        kept = taken = None
        left: list[Tensor | None]
        if self.places is not None:
            rank = self._rank(self.total(share * alike))
            kept = self.one - torch.clamp((self.places - rank.reshape(1, 1, -1)).abs(), -1, 1)
            taken = torch.clamp(self.taken - 2.0 * rank, -1, 1) * 0.5 + self.one_half
        if sizes is None:  # one for each
            weight = (share if taken is None else share * taken).transpose(1, 2)
            size, left = self.one + self.total(weight), [self.single]
        else:
            going_size, staying_size = self.apart(between(sizes, self.prefix, None, 1))
            staying = staying * staying_size
            weight = (share * (going_size if taken is None else taken * going_size)).transpose(1, 2)
            size = staying_size + self.total(weight)
            left = [self.alone, _chosen(kept, going_size)]
        own = between(x, 0, self.prefix, 1) if self.prefix else None
        tokens = [own, _chosen(kept, going), (staying + torch.bmm(weight, going)) / size]
        return _joined(tokens), _joined([*left, size])

    def total(self, x: Tensor) -> Tensor:
        """(1, n, m) to (1, n, 1)."""
        return x.mean(-1, keepdim=True) * x.shape[-1]

    def _alike(self, going: Tensor, staying: Tensor) -> Tensor:
        """The two halves of the channels apart, a batch of 2: one product of rank 2 would be, in TFLite, a FULLY_CONNECTED

        whose weights are no constant, which XNNPACK does not take.
        """
        halves = 2 if going.shape[2] % 2 == 0 else 1
        going = (going * self.sharpness).reshape(going.shape[1], halves, -1).transpose(0, 1)
        products = torch.bmm(going, staying.reshape(staying.shape[1], halves, -1).permute(1, 2, 0))
        return products[:1] + products[1:] if halves == 2 else products

    def _rank(self, closeness: Tensor) -> Tensor:
        """(1, going, 1): how many are more like another than this one."""
        apart = closeness.reshape(1, 1, -1) - closeness
        sign = torch.clamp(torch.clamp(apart * STEEP, -1, 1) * STEEP, -1, 1)
        return self.total(torch.clamp(2.0 * sign + self.first, -1, 1)) * 0.5 + self.middle


def _chosen(kept: Tensor | None, x: Tensor) -> Tensor | None:
    return None if kept is None else torch.bmm(kept, x)


def _joined(parts: list[Tensor | None]) -> Tensor:
    """Along the tokens; None is none of them."""
    there = [part for part in parts if part is not None]
    return there[0] if len(there) == 1 else torch.cat(there, 1)


class MappedMerging(ProductMerging):
    """ProductMerging whose sums are products with ones."""

    def __init__(self, merging: PatchMerging, dtype: torch.dtype) -> None:
        super().__init__(merging, dtype)
        sizes = {merging.before // 2, merging.before - merging.before // 2}
        self.ones = nn.ParameterDict({str(n): torch.ones(1, n, 1, dtype=dtype) for n in sizes}).requires_grad_(False)

    def total(self, x: Tensor) -> Tensor:
        return torch.bmm(x, self.ones[str(x.shape[-1])])


def _by_products(model: Authored) -> int:
    return swap(model, PatchMerging, lambda merging: ProductMerging(merging, model.dtype))


def _by_maps(model: Authored) -> int:
    return swap(model, PatchMerging, lambda merging: MappedMerging(merging, model.dtype))


MERGED_BY_PRODUCTS = Rewrite(
    "merging by products",
    "comparisons and a choice of patches, for which delegates have no operators",
    "a step is a clamp of a steep line, a count a sum of steps, a choice a product with a matrix of ones and zeros",
    _by_products,
)
MERGED_BY_MAPS = Rewrite(
    "merging by products, sums too",
    "comparisons, a choice of patches and sums, for which XNNPACK's delegate in ExecuTorch has no operators",
    f"{MERGED_BY_PRODUCTS.why}; a sum is a product with ones",
    _by_maps,
)
