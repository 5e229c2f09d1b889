"""Recipes by their names, and a user's own in TOML: what they say, and one clear error for what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

import quantize
import targets
from edgevit.errors import BadInput
from edgevit.types import LayerRule, QuantRecipe, Weights


@pytest.mark.parametrize("name", quantize.NAMES)
def test_a_name_decodes_to_a_recipe_that_bears_it(name: str) -> None:
    recipe = quantize.get(name)
    assert recipe.name == name and name.startswith(recipe.weights.name) and recipe.summary
    rest = name.removeprefix(recipe.weights.name)
    whole = recipe.weights.kind != "int"
    assert recipe.activations == ("none" if whole else {"": "dynamic", "-weights": "none", "-static": "static"}[rest])


def test_what_is_not_in_the_table_decodes_too() -> None:
    recipe = quantize.get("int4-g64-weights")
    assert (recipe.weights, recipe.activations) == (Weights(4, "int", 64), "none")


@pytest.mark.parametrize(
    "name",
    [
        "int5",
        "int8-g32",
        "palette5",
        "fp8",
        "fp16-weights-x",
        "int4-g33",
        "int8-dynamic",
        "INT8",
        "",
        "int8-",
        "int08",
        "int4-g0",
    ],
)
def test_what_does_not_decode_is_no_recipe(name: str) -> None:
    with pytest.raises(BadInput, match="unknown recipe"):
        quantize.get(name)


@pytest.mark.parametrize("target", targets.NAMES)
def test_every_form_of_a_target_is_a_recipes(target: str) -> None:
    for name in targets.get(target).recipes:
        assert quantize.get(name).weights.name == name


def own(tmp_path: Path, text: str) -> QuantRecipe:
    (tmp_path / "mine.toml").write_text(text)
    return quantize.get(str(tmp_path / "mine.toml"))


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    made = own(
        tmp_path,
        'base = "int4-g32"\nactivations = "none"\nsmoothing = false\n\n[[layers]]\nmatch = "blocks.0.*"\nweights = "int8"\n'
        '[[layers]]\nmatch = "head"\nweights = "fp32"\n',
    )
    assert (made.name, made.weights, made.activations, made.smoothing) == ("mine", Weights(4, "int", 32), "none", False)
    assert (made.rounding, made.bias_correction) == ("gptq", True), "what is not said is as in the base"
    assert made.layers == (LayerRule("blocks.0.*", Weights(8)), LayerRule("head", Weights(32, "float")))
    assert [form.name for form in made.forms] == ["int4-g32", "int8", "fp32"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('base = "int8"\nwidth = 3', "unknown key: width"),
        ('base = "int8"\nactivatons = "none"', "unknown key: activatons"),
        ('base = "int9"', "base = 'int9' spells no recipe"),
        ("", "spells no recipe"),
        ('weights = "int8-static"', "says more than a form"),
        ('base = "int8"\nactivations = "sometimes"', "activations are none, dynamic, static"),
        ('base = "palette6"\nactivations = "dynamic"', "a palette has no integers to compute with"),
        ('base = "fp32"\nsmoothing = true', "need neither rounding, smoothing"),
        ('base = "int8"\nsmoothing = "yes"', "smoothing must be a bool"),
        ('base = "int8"\n[[layers]]\nmatch = "head"', "each of layers holds match and weights"),
        ('base = "int8-weights"\n[[layers]]\nmatch = "head"\nweights = "palette4"', "do not go together"),
        ('base = "int8"\nname = "int8"', "not a name for a recipe of one's own"),
        ('base = "int8"\nname = "../up"', "not a name for a recipe of one's own"),
        ("base = int8", "no TOML"),
        ("a" * 2_000_000, "too large"),
    ],
    ids=lambda value: value[:30],
)
def test_one_clear_error_names_the_key(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        own(tmp_path, text)
    assert words in caught.value.message and "mine.toml" in caught.value.message


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such recipe"):
        quantize.get(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("target", "recipe", "nearest", "holder"),
    [
        ("coreml", "int4-g32", "palette4", "coreml-ios18"),
        ("executorch", "palette6", "int8", "coreml"),
        ("tflite-gpu", "int8", "fp16", "executorch"),
        ("executorch", "int8-weights", "int8", "coreml"),
        ("coreml", "int8-static", "int8", ""),
        ("executorch", "fp16", "fp32", "coreml"),
    ],
)
def test_what_a_target_cannot_hold_is_said_with_the_nearest_that_it_can(
    target: str, recipe: str, nearest: str, holder: str
) -> None:
    with pytest.raises(BadInput, match=f"{target} does not hold {recipe}") as caught:
        targets.require_recipe(targets.get(target), quantize.get(recipe))
    assert f"nearest that it holds: {nearest}" in caught.value.hint and holder in caught.value.hint
