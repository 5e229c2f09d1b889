"""Quantization recipes as data. The one verb that applies them is `quantize.apply.apply`, on torchao."""

from __future__ import annotations

from edgevit.errors import UnknownName
from edgevit.types import QuantRecipe, Weights

RECIPES = {
    recipe.name: recipe
    for recipe in (
        QuantRecipe("fp32", "as trained", Weights(32, "float", "none")),
        QuantRecipe("fp16", "half precision, weights and arithmetic", Weights(16, "float", "none")),
        QuantRecipe(
            "int8",
            "int8 weights of every Linear, one scale per output channel; int8 activations where the target computes with them",
            Weights(8, "int", "per channel"),
            activations="dynamic per token",
            float_layers="patch embedding (few weights, raw pixels), LayerNorm, softmax, GELU, residual sums (accuracy)",
        ),
    )
}


def get(name: str) -> QuantRecipe:
    """The recipe of that name. Raises UnknownName with the nearest ones."""
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return RECIPES[name]
