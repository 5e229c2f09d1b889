"""Scales that move from the columns of one matrix into what stands before it, for the same function with less error of rounding.

A channel that is divided by s before a Linear whose column is multiplied by it gives what it gave. Where the channel comes out
of a LayerNorm's gain and shift, or out of rows of another Linear, the factor is folded there (SmoothQuant, Xiao et al., arXiv
2211.10438). How strong is searched for each Linear: s = (root mean square of the channel)^-strength, and the strength that
leaves the least error behind the rounded matrix wins (AWQ, Lin et al., arXiv 2306.00978).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgevit.types import Weights
from edgevit.vit.model import ViT
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
def smoothed(model: ViT, forms: dict[str, Weights], entering: dict[str, Entering]) -> set[str]:
    """Move scales in `model`, in place, where it lessens the error of the Linears that get a form of `forms`.

    What enters them is rewritten in `entering`. Returns the names of the Linears whose columns were scaled.
    """
    moved: set[str] = set()
    for seam in seams(model):
        readers = {name: linear for name, linear in linears(model) if name in seam.readers}
        if not all(name in forms for name in readers):
            continue
        factor = _best(readers, forms, entering)
        if (factor == 1).all():
            continue
        seam.divide(factor)
        for name, linear in readers.items():
            linear.weight.data = linear.weight * factor
            seen = entering[name]
            entering[name] = Entering(seen.second / factor / factor[:, None], seen.mean / factor, seen.count)
        moved |= set(readers)
    return moved


def _best(readers: dict[str, nn.Linear], forms: dict[str, Weights], entering: dict[str, Entering]) -> Tensor:
    name = next(iter(readers))
    size = entering[name].second.diagonal().clamp_min(1e-12).sqrt()
    best, least = torch.ones_like(size), float("inf")
    for strength in STRENGTHS:
        factor = size**strength
        factor = factor / (factor.max() * factor.min()).sqrt()
        error = sum(_error(linear.weight, forms[n], factor, entering[n].second) for n, linear in readers.items())
        if error < least:
            best, least = factor, error
    return best


def _error(weight: Tensor, form: Weights, factor: Tensor, second: Tensor) -> float:
    """Mean square of what the rounding changes behind the matrix."""
    scaled = weight * factor
    made = grid(scaled, form, second.diagonal() / factor.square())
    columns = torch.arange(weight.shape[1])
    change = made.values(made.nearest(scaled, columns), columns) / factor - weight
    return float(((change @ second) * change).sum())
