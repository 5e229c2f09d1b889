"""Where a model looks, against cases that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.inside import attention
from edgevit.types import ResNetStem, ViTConfig
from edgevit.vit.model import ViT

PLAIN = ViTConfig("Pico/8", (16, 24), 8, 16, 3, 2, 32, 5)
"""A grid of 2 x 3 patches."""

KINDS: list[dict[str, Any]] = [
    {},
    {"pool": "mean"},
    {"pool": "distilled"},
    {"registers": 3},
    {"pool": "mean", "registers": 2},
    {"positions": "relative"},
    {"positions": "none", "pool": "mean"},
    {"positions": "2d"},
    {"positions": "sincos"},
    {"classes": 0},
    {"stem": ResNetStem((1, 1), 16)},
]


def trained(config: ViTConfig, seed: int = 0) -> ViT:
    """A model whose weights are far from those it begins with."""
    torch.manual_seed(seed)
    model = ViT(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def images(config: ViTConfig, n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 3, *config.image_size)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_attention_is_the_one_that_the_model_computes_with(kind: dict[str, Any]) -> None:
    """The attention of every layer, applied to the values by hand, gives what the block gives."""
    model = trained(replace(PLAIN, **kind))
    batch = torch.from_numpy(images(model.config))
    with torch.inference_mode():
        x = model.embed(model.patch_embed(batch))
        layers = list(attention.by_layer(model, batch))
        for block, weights in zip(model.blocks, layers, strict=True):
            assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
            inner = block.norm1(x)
            mixed = (weights @ block.attn.split(inner)[2]).transpose(1, 2).flatten(2)
            assert torch.allclose(block.attn.proj(mixed), block.attn(inner), atol=1e-4)
            x = block(x)
    assert len(layers) == model.config.depth


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_rollout_is_a_share_of_every_patch(kind: dict[str, Any]) -> None:
    model = trained(replace(PLAIN, **kind))
    found = attention.rollout(model, images(model.config))
    assert found.patches.shape == (2, 2, 3) and (found.patches > 0).all()
    assert found.patches.sum((1, 2)) == pytest.approx([1, 1])
    assert ((found.elsewhere > 0.01) == (model.config.prefix > 0)).all()


def test_rollout_by_hand() -> None:
    """Two layers of one class token and one patch: half of each step stays, by the residual connection."""
    first = torch.tensor([[[[0.5, 0.5], [0.2, 0.8]]]])
    second = torch.tensor([[[[0.6, 0.4], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]]).reshape(1, 2, 2, 2)
    by_hand = np.array([[0.9, 0.1], [0.0, 1.0]]) @ np.array([[0.75, 0.25], [0.1, 0.9]])
    assert attention.rolled([first, second])[0].numpy() == pytest.approx(by_hand)


def test_rollout_of_identity_is_identity_and_of_even_attention_is_nearly_even() -> None:
    eye = torch.eye(4).expand(1, 2, 4, 4)
    assert torch.equal(attention.rolled([eye, eye, eye])[0], torch.eye(4))
    even = torch.full((1, 2, 4, 4), 0.25)
    rolled = attention.rolled([even] * 20)[0]
    assert torch.allclose(rolled, torch.full((4, 4), 0.25), atol=1e-5)


def test_what_the_head_reads() -> None:
    joined = torch.arange(36.0).reshape(1, 6, 6)
    small = replace(PLAIN, image_size=(16, 16))
    registers = replace(small, pool="mean", registers=2)
    assert torch.equal(attention.read_by_head(joined, replace(small, registers=1)), joined[:, 0])
    assert torch.equal(attention.read_by_head(joined, replace(small, pool="distilled")), joined[:, :2].mean(1))
    assert torch.equal(attention.read_by_head(joined, registers), joined[:, 2:].mean(1))


def test_the_patch_that_alone_is_looked_at_is_the_one_that_is_drawn() -> None:
    """A query that only the sixth patch answers: the class token has its answer from there."""
    config = replace(PLAIN, depth=1, heads=1)
    model = ViT(config).eval()
    for parameter in model.parameters():
        parameter.data.zero_()
    block = model.blocks[0]
    block.norm1.weight.data.fill_(1)
    model.pos_embed.data[0, :, 0] = 1.0
    model.pos_embed.data[0, :, 1] = -1.0
    model.pos_embed.data[0, 6, :2] = torch.tensor([-1.0, 1.0])
    block.attn.qkv.weight.data[0, 0] = 3.0  # a query along the first channel
    block.attn.qkv.weight.data[config.width, 0] = -3.0  # keys against it
    found = attention.rollout(model, images(config, 1)).patches[0]
    assert np.unravel_index(found.argmax(), found.shape) == (1, 2) and found.max() > 0.9


# Distances.


def test_pixels_between_patches() -> None:
    between = attention.between((2, 3), 8)
    assert between[0].tolist() == pytest.approx([0, 8, 16, 8, math.hypot(8, 8), math.hypot(8, 16)])
    assert torch.equal(between, between.T)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_even_attention_has_the_mean_of_all_distances(kind: dict[str, Any]) -> None:
    config = replace(PLAIN, **kind)
    even = torch.full((2, 2, config.tokens, config.tokens), 1 / config.tokens)
    places = [(r, c) for r in range(2) for c in range(3)]
    by_hand = np.mean([8 * math.hypot(a - r, b - c) for r, c in places for a, b in places])
    assert attention.mean_distance(even, config).tolist() == pytest.approx([by_hand, by_hand])
    assert attention.even_distance(config) == pytest.approx(by_hand)


def test_attention_to_itself_has_no_distance_and_to_the_neighbour_that_of_a_patch() -> None:
    config = replace(PLAIN, image_size=(8, 16))
    itself, other = torch.eye(3), torch.eye(3)
    other[1:, 1:] = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    weights = torch.stack([itself, other])[None]
    assert attention.mean_distance(weights, config).tolist() == [0, 8]


def test_what_a_patch_looks_at_beside_the_image_is_left_out() -> None:
    config = replace(PLAIN, image_size=(8, 16))
    weights = torch.tensor([[0.0, 0.5, 0.5], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]).expand(1, 2, 3, 3)
    assert attention.mean_distance(weights, config).tolist() == pytest.approx([4, 4])


def test_distances_do_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(replace(PLAIN, registers=1))
    batch = images(model.config, 5)
    whole = attention.distances(model, batch)
    monkeypatch.setattr(attention, "MEMORY", 2 * 4 * 2 * model.config.tokens**2)
    told: list[float] = []
    assert attention.distances(model, batch, lambda label, done, total: told.append(done)) == pytest.approx(whole, rel=1e-5)
    assert whole.shape == (3, 2) and told == [2, 4, 5]
