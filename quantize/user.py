"""A recipe of the user's own, in TOML:

name = "mine"
base = "int4-g32"            # what is not said below is as in this one
activations = "none"         # or dynamic, static
ranges = "mse"               # or percentile, minmax: of static activations
rounding = "nearest"         # or gptq
smoothing = false
bias_correction = true

[[layers]]                   # the first that matches a Linear's name counts
match = "blocks.0.*"
weights = "int8"
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevit import toml
from edgevit.errors import BadInput, UnknownName
from edgevit.types import LayerRule, QuantRecipe, Weights

KEYS = {"name": str, "base": str, "weights": str, "activations": str, "rounding": str, "ranges": str,
        "smoothing": bool, "bias_correction": bool, "layers": list}  # fmt: skip
PLAIN = ("activations", "rounding", "ranges", "smoothing", "bias_correction")
"""Fields of a QuantRecipe as they are."""
LAYER_KEYS = {"match", "weights"}
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")

Decoded = Callable[[str], QuantRecipe | None]


def read(path: str, decoded: Decoded) -> QuantRecipe:
    """The recipe in the file `path`. Raises BadInput, which names the key, for all that it does not say rightly."""
    said = toml.read(Path(path), "recipe", "edgevit recipes lists edgevit's own")
    for key, value in said.items():
        if key not in KEYS:
            raise BadInput(f"{path}: {UnknownName('key', key, KEYS).message}", UnknownName("key", key, KEYS).hint)
        if type(value) is not KEYS[key]:
            raise BadInput(f"{path}: {key} must be a {KEYS[key].__name__}, not {value!r}"[:200])
    name = said.get("name", Path(path).stem)
    if not NAME.fullmatch(name) or decoded(name):
        raise BadInput(
            f"{path}: not a name for a recipe of one's own: {name!r}"[:200], "small letters, digits, . and -; none of edgevit's"
        )
    base = _named(said.get("base", said.get("weights", "")), path, "base", decoded)
    changed: dict[str, Any] = {key: said[key] for key in PLAIN if key in said}
    if "weights" in said:
        changed["weights"] = _form(said["weights"], path, decoded)
    rules = tuple(_rule(rule, path, decoded) for rule in said.get("layers", []))
    try:
        return dataclasses.replace(base, name=name, summary=f"of {Path(path).name}", layers=rules, **changed)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from error


def _rule(rule: object, path: str, decoded: Decoded) -> LayerRule:
    if not isinstance(rule, dict) or rule.keys() != LAYER_KEYS or not all(isinstance(v, str) for v in rule.values()):
        raise BadInput(f"{path}: each of layers holds match and weights, both texts")
    return LayerRule(rule["match"], _form(rule["weights"], path, decoded))


def _form(name: str, path: str, decoded: Decoded) -> Weights:
    weights = _named(name, path, "weights", decoded).weights
    if weights.name != name:
        raise BadInput(
            f"{path}: weights = {name!r} says more than a form"[:200], f"say {weights.name}, and activations for itself"
        )
    return weights


def _named(name: str, path: str, key: str, decoded: Decoded) -> QuantRecipe:
    recipe = decoded(name)
    if recipe is None:
        raise BadInput(
            f"{path}: {key} = {name!r} spells no recipe"[:200], "as int8, int4-g32, palette6: edgevit recipes lists them"
        )
    return recipe
