"""What each layer costs in few bits, which are raised, and the recipe that says so."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

import quantize
from edgevit.types import LayerDamage, LayerRule, Weights, silent
from edgevit.vit.model import ViT
from quantize import mixing
from quantize.apply import quantized


@pytest.fixture
def model(model: ViT) -> ViT:
    return model.requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def test_the_damage_of_a_layer_is_that_of_it_alone(model: ViT, images: Tensor) -> None:
    low, high = quantize.get("int4-g32"), quantize.get("int8")
    before = copy.deepcopy(model.state_dict())
    found = {layer.layer: layer for layer in mixing.damages(model, low, high, images, silent)}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items()), "the model is as it was"
    assert len(found) == 2 * 4 + 1 and all(layer.kl > layer.high_kl >= 0 for layer in found.values())
    one = copy.deepcopy(model)
    made = quantized(model, low, images, apart=True)
    one.head.weight.data = made.matrices["head"].values()  # type: ignore[union-attr]
    one.head.bias.data = made.changed["head.bias"]  # type: ignore[union-attr]
    p, q = (torch.softmax(m(images).double(), 1) for m in (model, one))
    assert found["head"].kl == pytest.approx(float((p * (p / q).log()).sum(1).mean()), rel=1e-6)
    assert found["head"].flips == int((p.argmax(1) != q.argmax(1)).sum())
    assert (found["head"].bytes, found["head"].high_bytes) == (10 * 64 // 2 + 2 * 10 * 2, 10 * 64 + 4 * 10)


def test_a_layer_apart_sees_no_errors_of_others(model: ViT, images: Tensor) -> None:
    recipe = quantize.get("int4-g32")
    alone = dataclasses.replace(recipe, layers=(LayerRule("blocks.*", Weights(32, "float")),))
    head = [quantized(model, r, images, apart=True).matrices["head"].places for r in (recipe, alone)]
    assert torch.equal(*head)
    assert not torch.equal(quantized(model, recipe, images).matrices["head"].places, head[0])


def test_a_broken_layer_comes_first(model: ViT, images: Tensor) -> None:
    """One whose largest weight leaves no steps for the others."""
    model.blocks[1].mlp.fc1.weight.data[:, 7] *= 300  # type: ignore[union-attr]
    model.blocks[1].norm2.weight.data[7] /= 300  # type: ignore[union-attr]
    model.blocks[1].norm2.bias.data[7] /= 300  # type: ignore[union-attr]
    plain = dataclasses.replace(quantize.get("int4"), rounding="nearest", bias_correction=False)
    found = mixing.damages(model, plain, quantize.get("int8"), images, silent)
    assert max(found, key=lambda layer: layer.kl).layer == "blocks.1.mlp.fc1"


def test_the_order_is_by_gain_for_each_byte() -> None:
    def layer(name: str, kl: float, more: int) -> LayerDamage:
        return LayerDamage(name, kl, 0, 10, 0.1, 0, 10 + more)

    found = mixing.order([layer("dear", 0.9, 100), layer("cheap", 0.5, 10), layer("useless", 0.1, 1)])
    assert [x.layer for x in found] == ["cheap", "dear"]


def test_bytes_are_those_of_the_file_that_is_kept(model: ViT, images: Tensor, tmp_path: Path) -> None:
    """Of int8: a byte for each integer and four for each scale, beside the parameters that stay."""
    recipe = quantize.get("int8")
    made = quantized(model, recipe)
    kept = sum(m.places.numel() + 4 * m.grid.scale.numel() for m in made.matrices.values())  # type: ignore[union-attr]
    others = {name: p.numel() for name, p in model.named_parameters() if name.removesuffix(".weight") not in made.matrices}
    assert mixing.model_bytes(model, recipe) == kept + 4 * sum(others.values())


def test_the_recipe_of_a_mix_reads_back(tmp_path: Path) -> None:
    low = dataclasses.replace(quantize.get("int4-g32"), layers=(LayerRule("head", Weights(32, "float")),))
    made = mixing.raised(low, Weights(8), ["blocks.0.attn.qkv"], "mixed")
    (tmp_path / "mixed.toml").write_text(mixing.toml(made))
    read = quantize.get(str(tmp_path / "mixed.toml"))
    assert dataclasses.replace(read, summary=made.summary) == made
    assert [form.name for form in read.forms] == ["int4-g32", "int8", "fp32"]
