"""The model is the paper's: its sizes, its parameter counts, its function."""

from __future__ import annotations

import math

import pytest
import torch

from edgevit.errors import BadInput, UnknownName
from edgevit.vit.config import NAMES, config, multiply_adds, parameters
from edgevit.vit.model import ViT

# Published counts at 224 px with 1000 classes: the paper's table 1 in millions; to the digit as timm lists these models.
PUBLISHED = {
    "Ti/16": 5_717_416,
    "S/16": 22_050_664,
    "B/32": 88_224_232,
    "B/16": 86_567_656,
    "L/16": 304_326_632,
    "H/14": 632_045_800,
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_published_parameter_counts(name: str, count: int) -> None:
    assert parameters(config(name, (224, 224), 1000)) == count


@pytest.mark.parametrize("name", NAMES)
def test_counts_by_arithmetic_are_those_of_the_model(name: str) -> None:
    side = 4 * int(name.partition("/")[2])
    shape = config(name, (side, side), 7)
    with torch.device("meta"):
        model = ViT(shape)
    assert sum(p.numel() for p in model.parameters()) == parameters(shape)


def test_multiply_adds_of_vit_b_16() -> None:
    """17.6 G multiply-adds at 224 px, as published for this model."""
    assert multiply_adds(config("B/16", (224, 224), 1000)) == pytest.approx(17.58e9, rel=0.002)


def test_head_is_zero_at_first() -> None:
    model = ViT(config("Pico/8", (32, 32), 5))
    assert torch.equal(model(torch.randn(2, 3, 32, 32)), torch.zeros(2, 5))


def test_function_is_the_papers() -> None:
    """Equations 1 to 4, written out again with none of the model's own operators."""
    torch.manual_seed(0)
    model = ViT(config("Pico/8", (16, 16), 3)).double().eval()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert torch.allclose(model(images), _by_hand(model, images), atol=1e-12)


def _by_hand(model: ViT, images: torch.Tensor) -> torch.Tensor:
    n, patch, heads = len(images), model.config.patch, model.config.heads
    patches = images.unfold(2, patch, patch).unfold(3, patch, patch).permute(0, 2, 3, 1, 4, 5).reshape(n, -1, 3 * patch**2)
    kernel = model.patch_embed.proj.weight.reshape(model.config.width, -1)
    x = patches @ kernel.T + model.patch_embed.proj.bias
    x = torch.cat([model.cls_token.expand(n, 1, -1), x], 1) + model.pos_embed
    for block in model.blocks:
        q, k, v = (_linear(block.attn.qkv, _norm(block.norm1, x))).chunk(3, -1)
        split = [t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v)]
        scores = split[0] @ split[1].transpose(-1, -2) / math.sqrt(model.config.width // heads)
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        x = x + _linear(block.attn.proj, (weights @ split[2]).transpose(1, 2).flatten(2))
        hidden = _linear(block.mlp.fc1, _norm(block.norm2, x))
        x = x + _linear(block.mlp.fc2, 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2))))
    return _linear(model.head, _norm(model.norm, x)[:, 0])


def _linear(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return x @ layer.weight.T + layer.bias


def _norm(layer: torch.nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * layer.weight + layer.bias


def test_unknown_variant_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown model: T/16") as caught:
        config("T/16", (224, 224), 10)
    assert "Ti/16" in caught.value.hint


@pytest.mark.parametrize("name", ["Ti", "Ti/", "Ti/0", "Ti/x", "Ti/-4", "Ti/٣", "Ti/1000"])
def test_odd_variants_are_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        config(name, (224, 224), 10)


def test_patch_must_divide_the_image() -> None:
    with pytest.raises(BadInput, match="patch 16 of Ti/16 does not divide image size 100") as caught:
        config("Ti/16", (100, 100), 10)
    assert "--image-size 96" in caught.value.hint
