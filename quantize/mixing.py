"""What each layer costs in few bits, and which ones to raise to more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor

from edgevit.types import LayerDamage, LayerRule, Progress, QuantRecipe, Weights
from edgevit.vit.model import ViT
from quantize.apply import forms, quantized
from quantize.quantized import Quantized, linears

BATCH = 64


@torch.no_grad()
def damages(model: ViT, low: QuantRecipe, high: QuantRecipe, images: Tensor, progress: Progress) -> tuple[LayerDamage, ...]:
    """What each Linear that `low` quantizes does to the answers to `images`, alone in its form of `low` and of `high`."""
    made = [quantized(model, recipe, images, progress, apart=True) for recipe in (low, high)]
    expected = _log_probabilities(model, images)
    chosen, raised = forms(model, low), forms(model, high)
    found = []
    for number, (name, form) in enumerate(chosen.items()):
        progress("one layer at a time", number, len(chosen))
        (kl, flips), (high_kl, high_flips) = (_alone(model, one, name, images, expected) for one in made)
        size = model.get_submodule(name).weight.shape
        higher = raised.get(name, WHOLE)
        sizes = (matrix_bytes(size, form), matrix_bytes(size, higher))  # type: ignore[arg-type]
        found.append(LayerDamage(name, kl, flips, sizes[0], high_kl, high_flips, sizes[1]))
    progress("one layer at a time", len(chosen), len(chosen))
    return tuple(found)


WHOLE = Weights(32, "float")


def _alone(model: ViT, made: Quantized, name: str, images: Tensor, expected: Tensor) -> tuple[float, int]:
    """KL and flips with one Linear as it was made, in place and taken back."""
    if name not in made.matrices:
        return 0.0, 0
    linear, bias = model.get_submodule(name), made.changed.get(f"{name}.bias")
    before = linear.weight.data, linear.bias.data
    linear.weight.data = made.matrices[name].values()
    if bias is not None:
        linear.bias.data = bias
    got = _log_probabilities(model, images)
    linear.weight.data, linear.bias.data = before
    kl = (expected.exp() * (expected - got)).sum(1).mean()
    return max(0.0, float(kl)), int((got.argmax(1) != expected.argmax(1)).sum())


def _log_probabilities(model: ViT, images: Tensor) -> Tensor:
    return torch.cat([model(batch) for batch in images.split(BATCH)]).double().log_softmax(1)


def matrix_bytes(shape: tuple[int, int], form: Weights) -> int:
    """Of a matrix (out, in) with its scales: float32 for each row, float16 for each group; or with its palette in float32."""
    rows, columns = shape
    content = rows * columns * form.bits // 8
    if form.kind == "palette":
        return content + 4 * 2**form.bits
    if form.kind == "float":
        return content
    return content + (2 * rows * columns // form.group if form.group else 4 * rows)


def model_bytes(model: ViT, recipe: QuantRecipe) -> int:
    """Of all parameters: what is not quantized is float32."""
    chosen = forms(model, recipe)
    matrices = {name: linear.weight for name, linear in linears(model) if name in chosen}
    whole = sum(4 * p.numel() for p in model.parameters()) - sum(4 * w.numel() for w in matrices.values())
    return whole + sum(matrix_bytes((w.shape[0], w.shape[1]), chosen[name]) for name, w in matrices.items())


def order(found: Iterable[LayerDamage]) -> list[LayerDamage]:
    """Layers that gain by the higher form, those first that gain most for each byte more."""
    gaining = [layer for layer in found if layer.kl > layer.high_kl]
    return sorted(gaining, key=lambda x: (x.kl - x.high_kl) / max(1, x.high_bytes - x.bytes), reverse=True)


def raised(low: QuantRecipe, high: Weights, layers: Iterable[str], name: str) -> QuantRecipe:
    """`low` with `layers` in the form `high`, ahead of the rules that it has."""
    rules = tuple(LayerRule(layer, high) for layer in layers)
    return dataclasses.replace(low, name=name, layers=(*rules, *low.layers))


def toml(recipe: QuantRecipe) -> str:
    """The recipe as `quantize.user` reads it."""
    lines = [
        f'name = "{recipe.name}"',
        f'base = "{recipe.weights.name}"',
        f'activations = "{recipe.activations}"',
        f'rounding = "{recipe.rounding}"',
        f"smoothing = {str(recipe.smoothing).lower()}",
        f"bias_correction = {str(recipe.bias_correction).lower()}",
        f'ranges = "{recipe.ranges}"',
    ]
    for rule in recipe.layers:
        lines += ["", "[[layers]]", f'match = "{rule.match}"', f'weights = "{rule.weights.name}"']
    return "\n".join(lines) + "\n"
