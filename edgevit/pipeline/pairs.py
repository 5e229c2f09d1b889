"""Which artifacts are meant: targets, recipes and shares of the patches, by their names, before any work."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import quantize
import targets
from edgevit.errors import BadInput
from edgevit.types import Input, Merge, QuantRecipe, Target, ViTConfig, artifact_name
from edgevit.vit import config as shapes


@dataclass(frozen=True)
class Pair:
    """One artifact to make."""

    target: str
    recipe: str
    """A name that decodes, or a file of the user's own."""
    merges: tuple[Merge, ...] | None = None
    """Of patches; None: those of the checkpoint."""
    input: Input = Input.TENSOR

    @property
    def quantization(self) -> QuantRecipe:
        return quantize.get(self.recipe)

    @property
    def name(self) -> str:
        return artifact_name(self.target, self.quantization.name, self.merges or (), self.input)

    def of(self, config: ViTConfig) -> Pair:
        """The same with the merges of a checkpoint where it says none. Raises BadInput where target or recipe are not for it."""
        if wrong := quantize.misfit(self.quantization, config):
            fitting = ", ".join(name for name, recipe in quantize.RECIPES.items() if not quantize.misfit(recipe, config))
            raise BadInput(wrong, f"these fit: {fitting}")
        merges = config.merges if self.merges is None else self.merges
        if merges and not targets.get(self.target).merges:
            others = ", ".join(target.name for target in targets.all_targets() if target.merges)
            raise BadInput(f"{self.target} cannot merge patches", f"these can: {others}")
        return dataclasses.replace(self, merges=merges)


def pairs(target_names: list[str], recipe_names: list[str], config: ViTConfig | None = None) -> list[Pair]:
    """What to make of the names, `all` among them, before any work. Raises UnknownName, and BadInput for what cannot be held.

    Of recipes `all` means those that a model of the shape `config` can have; `left_out` tells what it does not mean of targets.
    """
    asked = [targets.get(n) for n in target_names if n != "all"]
    for target in asked:
        for name in recipe_names:
            if name != "all":
                targets.require_recipe(target, quantize.get(name))
    every = [target for target in targets.all_targets() if not target.by_name_only]
    chosen = every + asked if "all" in target_names else asked
    fitting = [name for name, recipe in quantize.RECIPES.items() if config is None or not quantize.misfit(recipe, config)]
    named = [name for name in recipe_names if name != "all"]
    names = [*fitting, *named] if "all" in recipe_names else named
    found = [Pair(t.name, name) for t in chosen for name in names if not targets.lacks(t, quantize.get(name))]
    called = {(pair.quantization.name, pair.recipe) for pair in found}
    if twice := [name for name, n in Counter(name for name, _ in called).items() if n > 1]:
        raise BadInput(f"two recipes are called {', '.join(twice)}", "give each a name of its own")
    if not found:
        raise BadInput(f"no target holds {', '.join(names)}", "edgevit targets shows what each holds")
    return list(dict.fromkeys(found))


def merged(wanted: list[Pair], config: ViTConfig, keeps: list[float]) -> list[Pair]:
    """Each of `wanted` for each share of the patches that is kept. Raises BadInput where the model or a target cannot do so."""
    each = [shapes.merges(config, keep) or None for keep in dict.fromkeys(keeps)]
    return [dataclasses.replace(pair, merges=merges).of(config) for merges in each for pair in wanted]


def taking(wanted: list[Pair], names: list[str]) -> list[Pair]:
    """Each of `wanted` for each kind of input. Raises BadInput for an unknown one, and where a target cannot take pixels."""
    for name in names:
        if name not in list(Input):
            raise BadInput(f"unknown --input: {name[:40]}", f"known: {', '.join(Input)}")
    kinds = [Input(name) for name in dict.fromkeys(names)]
    unable = {pair.target for pair in wanted if targets.get(pair.target).pixels_outside is None}
    if Input.PIXELS in kinds and unable:
        able = ", ".join(target.name for target in targets.all_targets() if target.pixels_outside is not None)
        raise BadInput(f"{', '.join(sorted(unable))} cannot take pixels", f"these can: {able}")
    return [dataclasses.replace(pair, input=kind) for kind in kinds for pair in wanted]


def left_out(target_names: list[str]) -> list[Target]:
    """Targets that must be named and were not, where the user may think that `all` means them."""
    if "all" not in target_names:
        return []
    return [target for target in targets.all_targets() if target.by_name_only and target.name not in target_names]
