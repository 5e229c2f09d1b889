"""Recipes: each name decodes, and torchao's integers lie where the recipe says."""

from __future__ import annotations

import pytest
import torch
from torchao.quantization import IntxUnpackedToInt8Tensor

import quantize
from edgevit.errors import EdgevitError, UnknownName
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize.apply import apply
from quantize.quantized import linears


@pytest.fixture
def model() -> ViT:
    torch.manual_seed(0)
    vit = ViT(config("Pico/8", (16, 16), 5)).eval()
    for p in vit.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return vit


def integers(model: ViT) -> dict[str, torch.Tensor]:
    return {name: linear.weight.data.qdata for name, linear in linears(model)}


def test_int8_uses_the_whole_symmetric_range_of_every_channel(model: ViT) -> None:
    linears = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    before = {name: linear.weight.detach().clone() for name, linear in linears.items()}
    made = integers(apply(model, quantize.get("int8"), dynamic=False))
    assert made.keys() == before.keys()
    for name, q in made.items():
        scale = before[name].abs().amax(1, keepdim=True) / 127
        assert torch.equal(q.abs().amax(1), torch.full((len(q),), 127, dtype=torch.int8)), name
        assert (q * scale - before[name]).abs().max() <= scale.max() / 2 * 1.0001


def test_int8_leaves_the_patch_embedding_in_float(model: ViT) -> None:
    apply(model, quantize.get("int8"), dynamic=True)
    assert type(model.patch_embed.proj.weight.data) is torch.Tensor


@pytest.mark.parametrize("dynamic", [True, False])
def test_activations_only_where_the_target_has_them(model: ViT, dynamic: bool) -> None:
    apply(model, quantize.get("int8"), dynamic=dynamic)
    weight = model.head.weight.data
    assert isinstance(weight, IntxUnpackedToInt8Tensor)
    assert (weight.activation_quantization is not None) is dynamic


def test_a_channel_of_zeros_stays_zero(model: ViT) -> None:
    model.head.weight.data[2] = 0
    apply(model, quantize.get("int8"), dynamic=False)
    assert not integers(model)["head"][2].any()
    assert model(torch.randn(1, 3, 16, 16)).isfinite().all()


def test_fp32_changes_nothing_and_fp16_rounds(model: ViT) -> None:
    before = model.head.weight.detach().clone()
    apply(model, quantize.get("fp32"), dynamic=True)
    assert torch.equal(model.head.weight, before)
    apply(model, quantize.get("fp16"), dynamic=True)
    assert torch.equal(model.head.weight, before.half().float()) and not torch.equal(model.head.weight, before)


def test_fp16_names_the_layer_that_overflows(model: ViT) -> None:
    model.blocks[1].mlp.fc2.bias.data[0] = 1e6
    with pytest.raises(EdgevitError, match=r"blocks\.1\.mlp\.fc2\.bias"):
        apply(model, quantize.get("fp16"), dynamic=False)


def test_unknown_recipe_names_the_nearest_and_picks_none() -> None:
    with pytest.raises(UnknownName, match="unknown recipe: int9") as caught:
        quantize.get("int9")
    assert "nearest: int8" in caught.value.hint
