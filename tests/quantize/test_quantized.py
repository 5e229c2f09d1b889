"""From a model to what a recipe makes of it: which Linears, with which images, into a file and out of it again."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

import quantize
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import LayerRule, Weights
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize import quantized as stored
from quantize.apply import quantized
from quantize.grid import grid
from quantize.observe import entering
from quantize.quantized import linears
from quantize.smooth import smoothed


@pytest.fixture
def model(model: ViT) -> ViT:
    """With a stream some of whose channels are far larger, as those of trained models are."""
    for block in model.layers():
        for norm in (block.norm1, block.norm2):
            norm.weight.data[:4] *= 12
    return model.requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def error(model: ViT, other: ViT, images: Tensor) -> float:
    expected = model(images)
    return float((other(images) - expected).norm() / expected.norm())


def after(model: ViT, recipe: str, images: Tensor | None = None, **changes: object) -> ViT:
    changed = copy.deepcopy(model)
    quantized(model, dataclasses.replace(quantize.get(recipe), **changes), images).put(changed, False)  # type: ignore[arg-type]
    return changed


def test_a_model_stays_as_it_was(model: ViT, images: Tensor) -> None:
    before = copy.deepcopy(model.state_dict())
    quantized(model, quantize.get("int4-g32"), images)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_observing_finds_the_moments_of_what_enters(model: ViT, images: Tensor) -> None:
    seen: list[Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(images)
    hook.remove()
    found = entering(model, ["head"], lambda: model(images))["head"]
    x = torch.cat(seen)
    assert found.count == 16 and torch.allclose(found.mean, x.mean(0), atol=1e-6)
    assert torch.allclose(found.second, x.T @ x / 16, atol=1e-5)


def test_smoothing_changes_no_answer_and_lessens_the_error(model: ViT, images: Tensor) -> None:
    forms = {name: Weights(4, "int", 32) for name, _ in linears(model)}
    changed = copy.deepcopy(model)
    moved = smoothed(changed, forms, entering(changed, forms, lambda: changed(images)))
    assert {"blocks.0.attn.qkv", "blocks.1.mlp.fc1"} <= moved
    assert error(model, changed, images) < 1e-5
    behind = {name: (_behind(model, name, images), _behind(changed, name, images)) for name in moved}
    assert all(after < before for before, after in behind.values())


def _behind(model: ViT, name: str, images: Tensor) -> float:
    """Mean square of what rounding a Linear to 4 bits changes behind it."""
    seen = entering(model, [name], lambda: model(images))[name]
    weight, form = model.get_submodule(name).weight, Weights(4, "int", 32)
    made = grid(weight, form, seen.second.diagonal())  # type: ignore[arg-type]
    columns = torch.arange(weight.shape[1])  # type: ignore[index,union-attr]
    change = made.values(made.nearest(weight, columns), columns) - weight  # type: ignore[arg-type]
    return float(((change @ seen.second) * change).sum())


def test_careful_rounding_is_better_than_the_nearest(model: ViT, images: Tensor) -> None:
    plain = after(model, "int4-g32", images, rounding="nearest", smoothing=False, bias_correction=False)
    careful = after(model, "int4-g32", images)
    assert error(model, careful, images) < 0.8 * error(model, plain, images)


def test_bias_correction_takes_the_mean_error_away(model: ViT, images: Tensor) -> None:
    plain, corrected = (
        after(model, "int4", images, rounding="nearest", smoothing=False, bias_correction=how) for how in (False, True)
    )
    first = "blocks.0.attn.qkv"  # whatever enters it is not rounded yet
    mean = entering(model, [first], lambda: model(images))[first].mean
    expected = model.get_submodule(first)(mean)
    off = [(other.get_submodule(first)(mean) - expected).abs().max() for other in (plain, corrected)]
    assert off[0] > 1e-3 and off[1] < 1e-5


def test_a_rule_gives_a_layer_another_form(model: ViT) -> None:
    rules = (LayerRule("blocks.0.*", Weights(4)), LayerRule("head", Weights(32, "float")))
    made = quantized(model, dataclasses.replace(quantize.get("int8"), layers=rules))
    largest = {name: int(matrix.places.abs().max()) for name, matrix in made.matrices.items()}
    assert "head" not in largest
    assert {n for n, most in largest.items() if most == 7} == {n for n in largest if n.startswith("blocks.0.")}


def test_a_rule_that_matches_nothing_is_refused(model: ViT) -> None:
    with pytest.raises(BadInput, match=r"no Linear matches block\.0\.\*") as caught:
        quantized(model, dataclasses.replace(quantize.get("int8"), layers=(LayerRule("block.0.*", Weights(4)),)))
    assert "blocks.0.attn.qkv" in caught.value.hint


def test_a_group_that_does_not_fit_is_refused(model: ViT) -> None:
    wide = quantize.get("int4-g128")
    if model.config.width % 128:
        with pytest.raises(BadInput, match=f"has {model.config.width} inputs, no multiple of 128"):
            quantized(model, wide, torch.zeros(1, 3, 32, 32))


def test_a_recipe_that_needs_images_says_so(model: ViT) -> None:
    with pytest.raises(BadInput, match="int4-g32 needs images") as caught:
        quantized(model, quantize.get("int4-g32"))
    assert "--calibrate" in caught.value.hint


@pytest.mark.parametrize("recipe", ["int8", "int4-g32", "palette4"])
def test_the_file_gives_back_what_was_saved(recipe: str, model: ViT, images: Tensor, tmp_path: Path) -> None:
    made = quantized(model, quantize.get(recipe), images)
    made.save(tmp_path / "q")
    read = stored.read(tmp_path / "q", model)
    one, other = copy.deepcopy(model), copy.deepcopy(model)
    made.put(one, False)
    read.put(other, False)
    assert torch.equal(one(images), other(images)) and read.matrices.keys() == made.matrices.keys()
    assert {torch.int8, torch.uint8} > {matrix.places.dtype for matrix in read.matrices.values()}


def test_a_file_of_another_model_is_refused(model: ViT, tmp_path: Path) -> None:
    quantized(model, quantize.get("int8")).save(tmp_path / "q")
    other = ViT(config("Nano/8", (32, 32), 10))
    with pytest.raises(DamagedFile, match="of another model"):
        stored.read(tmp_path / "q", other)
    tensors = safetensors.torch.load_file(tmp_path / "q")
    del tensors["scale/head"]
    safetensors.torch.save_file(tensors, tmp_path / "cut")
    with pytest.raises(DamagedFile, match="head has no scale"):
        stored.read(tmp_path / "cut", model)
    (tmp_path / "torn").write_bytes((tmp_path / "q").read_bytes()[:-9])
    with pytest.raises(DamagedFile, match="no whole safetensors file"):
        stored.read(tmp_path / "torn", model)
