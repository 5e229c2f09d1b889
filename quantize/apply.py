"""The one verb: a model and a recipe to integers, by torchao's tensors.

The plain recipe of integers puts the weights on a symmetric grid whose scale is the channel's largest magnitude over 127, so
every channel uses the integers -127..127 and reaches an end of them. torchao's own symmetric mapping divides by 127.5 and
reaches -128, which TFLite's int8 specification excludes.
"""

from __future__ import annotations

import copy
import fnmatch

import torch
from torch import Tensor, nn

from edgevit.errors import BadInput, EdgevitError
from edgevit.types import Progress, QuantRecipe, Weights, silent
from edgevit.vit.model import ViT
from edgevit.vit.static import Rounding, StaticLinear
from quantize.compensate import compensated
from quantize.drift import Lack, corrected, lack
from quantize.grid import Integers, Palette, grid
from quantize.observe import Entering
from quantize.quantized import Matrix, Quantized, linears
from quantize.ranges import joined, rounding
from quantize.smooth import smoothed
from quantize.walk import Room, rooms


def forms(model: ViT, recipe: QuantRecipe) -> dict[str, Weights]:
    """How each Linear that does not stay in float is stored. Raises BadInput for what cannot be applied to this model."""
    matched: set[str] = set()
    found = {}
    for name, linear in linears(model):
        rule = next((rule for rule in recipe.layers if fnmatch.fnmatchcase(name, rule.match)), None)
        if rule:
            matched.add(rule.match)
        form = rule.weights if rule else recipe.weights
        if form.group and linear.in_features % form.group:
            where = f"{name} has {linear.in_features} inputs, no multiple of {form.group}"
            raise BadInput(f"{recipe.name} does not fit the model: {where}", "a recipe with layers can give it another form")
        if form.kind != "float":
            found[name] = form
    if idle := [rule.match for rule in recipe.layers if rule.match not in matched]:
        names = ", ".join(name for name, _ in linears(model))
        raise BadInput(f"{recipe.name}: no Linear matches {', '.join(idle)}", f"the model has {names}"[:300])
    return found


@torch.no_grad()
def quantized(
    model: ViT, recipe: QuantRecipe, images: Tensor | None = None, progress: Progress = silent, apart: bool = False
) -> Quantized:
    """What `recipe` makes of `model`, which stays as it is. `images` (n, 3, H, W) are those to calibrate on.

    Each Linear sees the errors of those before it, and makes good what it can; `apart`, each as if it were the only one.
    """
    chosen = forms(model, recipe)
    if not chosen:
        return Quantized()
    if recipe.calibrates and images is None:
        raise BadInput(f"{recipe.name} needs images to calibrate on", "--calibrate says which")
    after = copy.deepcopy(model)
    matrices: dict[str, Matrix] = {}
    roundings: dict[str, tuple[Rounding, Rounding]] = {}
    static = recipe.activations == "static"
    if recipe.calibrates and images is not None:
        plain = copy.deepcopy(model)
        for beside, room in zip(rooms(plain, images), rooms(after, images), strict=True):
            names = tuple(name for name in room.names if name in chosen)
            if recipe.smoothing and not apart:
                smoothed(after, {name: chosen[name] for name in names}, room.entering(names), static, plain)
            for name in names:
                if recipe.rounding == "gptq" and not apart:
                    seen, lacking = lack(name, beside, room)
                else:
                    seen, lacking = (beside if apart else room).entering((name,))[name], None
                matrices[name] = _careful(after, name, chosen[name], recipe, seen, lacking)
                if static:
                    roundings[name] = _rounded(after, name, recipe.ranges, room)
                progress("rounding", len(matrices), len(chosen))
    else:
        for name, form in chosen.items():
            matrices[name] = _nearest(after.get_submodule(name).weight, grid(after.get_submodule(name).weight, form))  # type: ignore[arg-type]
            progress("rounding", len(matrices), len(chosen))
    return Quantized(matrices, _changed(model, after, matrices), roundings)


def _rounded(model: ViT, name: str, ranges: str, room: Room) -> tuple[Rounding, Rounding]:
    """The ranges of what enters and leaves a Linear, whose place in `model` one that rounds both takes."""
    before, behind = room.around(name)
    linear = model.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    made = rounding(before, ranges), joined([rounding(part, ranges) for part in behind], linear.out_features)
    model.set_submodule(name, StaticLinear.of(linear, *made))
    return made


def _careful(model: ViT, name: str, form: Weights, recipe: QuantRecipe, seen: Entering, lacking: Lack | None) -> Matrix:
    """The matrix of a Linear, whose floats and bias in `model` become what it computes: those behind it see its errors."""
    linear = model.get_submodule(name)
    weight = linear.weight.detach().clone()  # type: ignore[operator]
    if recipe.rounding == "gptq":
        wanted = corrected(weight, lacking, seen) if lacking else weight
        made = grid(wanted, form, seen.second.diagonal())
        matrix = Matrix(compensated(wanted, seen.second, made), made)
    else:
        matrix = _nearest(weight, grid(weight, form))
    linear.weight.data = matrix.values()
    if recipe.bias_correction:
        shift = (weight - matrix.values()) @ seen.mean
        linear.bias.data = linear.bias + shift + (lacking.mean if lacking else 0)  # type: ignore[operator]
    return matrix


def _nearest(weight: Tensor, made: Integers | Palette) -> Matrix:
    return Matrix(made.nearest(weight, torch.arange(weight.shape[1])), made)


def _changed(before: ViT, after: ViT, matrices: dict[str, Matrix]) -> dict[str, Tensor]:
    """The parameters that differ, but for the quantized matrices themselves."""
    own = {f"{name}.weight" for name in matrices}
    pairs = ((name, before.get_parameter(name), p) for name, p in after.named_parameters() if name not in own)
    return {name: new.detach().clone() for name, old, new in pairs if not torch.equal(old, new)}


def apply(model: ViT, recipe: QuantRecipe, dynamic: bool, images: Tensor | None = None) -> ViT:
    """Quantize `model` in place as `recipe` says and return it; `dynamic` says whether the target quantizes activations."""
    if recipe.quantizes:
        quantized(model, recipe, images).put(model, dynamic and recipe.activations == "dynamic")
    elif recipe.weights.bits == 16:
        round_to_half(model)
    return model


def round_to_half(model: ViT) -> None:
    for name, parameter in model.named_parameters():
        half = parameter.data.half()
        if not half.isfinite().all():
            raise EdgevitError(f"{name} holds values beyond float16", "use fp32 or int8")
        parameter.data = half.float()
