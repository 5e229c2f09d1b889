"""Scales that move from the columns of one matrix into what stands before it, for the same function with less error of rounding.

A channel that is divided by s before a Linear whose column is multiplied by it gives what it gave. Where the channel comes out
of a LayerNorm's gain and shift, or out of rows of another Linear, the factor is folded there (SmoothQuant, Xiao et al., arXiv
2211.10438). How strong is searched for each Linear: s = (size of the channel)^-strength, and the strength that leaves the least
error behind the rounded matrix wins (AWQ, Lin et al., arXiv 2306.00978). The size is the root mean square; where the channels
themselves are rounded, at one scale for all of them, also the largest magnitude, and that rounding's error counts too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgevit.types import Weights
from edgevit.vit.model import ViT
from edgevit.vit.static import LEAST, MOST
from quantize.grid import grid
from quantize.observe import Entering
from quantize.quantized import linears

STRENGTHS = torch.linspace(0.0, 1.0, 21)


@dataclass(frozen=True)
class Seam:
    """Where channels pass from what makes them to the Linears that read them: `divide` the former by (width)."""

    readers: tuple[str, ...]
    divide: Callable[[Tensor], None]


def seams(model: ViT) -> Iterator[Seam]:
    for i, block in enumerate(model.layers()):
        attention, width = block.attn, model.config.width
        yield Seam((f"blocks.{i}.attn.qkv",), _norm(block.norm1))
        yield Seam((f"blocks.{i}.attn.proj",), _rows(attention.qkv, 2 * width, 3 * width))
        yield Seam((f"blocks.{i}.mlp.fc1",), _norm(block.norm2))
    if model.pre_logits is not None:
        yield Seam(("pre_logits",), _norm(model.norm))
    elif model.heads():
        names = tuple(name for name in ("head", "head_dist") if isinstance(getattr(model, name, None), nn.Linear))
        yield Seam(names, _norm(model.norm))


def _norm(norm: nn.LayerNorm) -> Callable[[Tensor], None]:
    def divide(by: Tensor) -> None:
        norm.weight.data = norm.weight / by
        norm.bias.data = norm.bias / by

    return divide


def _rows(linear: nn.Linear, start: int, stop: int) -> Callable[[Tensor], None]:
    def divide(by: Tensor) -> None:
        linear.weight.data[start:stop] /= by[:, None]
        linear.bias.data[start:stop] /= by

    return divide


@torch.no_grad()
def smoothed(
    model: ViT, forms: dict[str, Weights], entering: dict[str, Entering], static: bool = False, like: ViT | None = None
) -> set[str]:
    """Move scales in `model`, in place, where it lessens the error of the Linears that get a form of `forms`.

    `static`: what enters them is rounded too, at one scale. What enters them is rewritten in `entering`. The same scales move in
    the model `like`, that channels of both may be compared. Returns the names of the Linears whose columns were scaled.
    """
    moved: set[str] = set()
    models = (model, like) if like else (model,)
    for seam, *others in zip(*(seams(each) for each in models), strict=True):
        readers = {name: linear for name, linear in linears(model) if name in seam.readers}
        if not all(name in forms for name in readers):
            continue
        factor = _best(readers, forms, entering, static)
        if (factor == 1).all():
            continue
        for each, one in zip(models, (seam, *others), strict=True):
            one.divide(factor)
            for name in readers:
                linear = each.get_submodule(name)
                linear.weight.data = linear.weight * factor  # type: ignore[operator]
        entering.update({name: entering[name].over(factor) for name in readers})
        moved |= set(readers)
    return moved


def _best(readers: dict[str, nn.Linear], forms: dict[str, Weights], entering: dict[str, Entering], static: bool) -> Tensor:
    seen = entering[next(iter(readers))]
    sizes = [seen.second.diagonal().sqrt()]
    if static:
        sizes.append(torch.maximum(seen.high, -seen.low))
    best, least = torch.ones_like(sizes[0]), float("inf")
    for size in sizes:
        for strength in STRENGTHS:
            factor = size.clamp_min(1e-6) ** strength
            factor = factor / (factor.max() * factor.min()).sqrt()
            error = sum(_error(linear.weight, forms[n], factor, entering[n], static) for n, linear in readers.items())
            if error < least:
                best, least = factor, error
    return best


def _error(weight: Tensor, form: Weights, factor: Tensor, seen: Entering, static: bool) -> float:
    """Mean square of what the rounding changes behind the matrix."""
    scaled = weight * factor
    made = grid(scaled, form, seen.second.diagonal() / factor.square())
    columns = torch.arange(weight.shape[1])
    change = made.values(made.nearest(scaled, columns), columns) / factor - weight
    error = float(((change @ seen.second) * change).sum())
    if static:
        step = float((seen.high / factor).max().clamp_min(0) - (seen.low / factor).min().clamp_max(0)) / (MOST - LEAST)
        error += step**2 / 12 * float(scaled.square().sum())
    return error
