"""Quantization recipes as data. What applies them, on torchao, is imported when used.

A name decodes: FORM[-ACTIVATIONS]. The form is that of the weights of every Linear: fp32, fp16; int8, int4, with one scale for
each output channel, or int4-g32 for each group of 32 input channels; palette8, palette6, palette4, places in a palette of 2^bits
floats. Activations of integers are dynamic, for each token, where the target computes so; -weights leaves them in float, -static
gives them scales known beforehand.
"""

from __future__ import annotations

from edgevit.errors import UnknownName
from edgevit.types import QuantRecipe, ViTConfig, Weights
from quantize import user

_ACTIVATIONS = {"": "dynamic", "weights": "none", "static": "static"}

STAYS = "patch embedding (few weights, raw pixels), LayerNorm, softmax, GELU, residual sums (accuracy)"
COARSE = 6
"""Bits up to which the nearest integer is not good enough."""


def decoded(name: str) -> QuantRecipe | None:
    """The recipe that a name spells, or None where it spells none."""
    activations = next((word for word in _ACTIVATIONS if word and name.endswith(f"-{word}")), "")
    weights = Weights.named(name.removesuffix(f"-{activations}") if activations else name)
    if weights is None or (activations and weights.kind != "int"):
        return None
    coarse = weights.kind != "float" and weights.bits <= COARSE
    careful = coarse or activations == "static"
    return QuantRecipe(
        name,
        _summary(weights, activations),
        weights,
        activations=_ACTIVATIONS[activations] if weights.kind == "int" else "none",
        rounding="gptq" if coarse else "nearest",
        smoothing=careful and weights.kind == "int",
        bias_correction=careful,
        float_layers="" if weights.kind == "float" else STAYS,
    )


def _summary(weights: Weights, activations: str) -> str:
    if weights.kind == "float":
        return "as trained" if weights.bits == 32 else "half precision, weights and arithmetic"
    if weights.kind == "palette":
        return f"weights of every Linear as places in a palette of {2**weights.bits} values, one palette for each matrix"
    scale = f"one scale per group of {weights.group} inputs" if weights.group else "one scale per output channel"
    entering = {
        "": "int8 activations per token where the target computes with them",
        "weights": "activations in float",
        "static": "int8 activations with scales from calibration",
    }
    return f"int{weights.bits} weights of every Linear, {scale}; {entering[activations]}"


NAMES = (
    "fp32", "fp16", "int8", "int8-weights", "int8-static", "int4", "int4-g32", "int4-g64", "int4-g128",
    "palette8", "palette6", "palette4",
)  # fmt: skip
RECIPES = {name: recipe for name in NAMES if (recipe := decoded(name))}


def misfit(recipe: QuantRecipe, config: ViTConfig) -> str:
    """Why a model of that shape cannot be quantized so, in words; empty where it can, or where layers have rules of their own."""
    group = recipe.weights.group
    wrong = [n for n in (config.width, config.mlp, config.representation) if group and n % group]
    if recipe.layers or not wrong:
        return ""
    widths = ", ".join(map(str, dict.fromkeys(wrong)))
    return f"{recipe.name} wants inputs in groups of {group}, and the model has Linears with {widths}"


def get(name: str) -> QuantRecipe:
    """The recipe that `name` spells, or of the user's own file where it ends in .toml. Raises UnknownName, BadInput."""
    if name.endswith(".toml"):
        return user.read(name, decoded)
    recipe = decoded(name)
    if recipe is None:
        raise UnknownName("recipe", name, RECIPES)
    return recipe
