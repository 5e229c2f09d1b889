"""A model made to be loaded: it draws nothing, and what is computed when a model is made stands."""

from __future__ import annotations

import torch

from edgevit.types import ViTConfig
from edgevit.vit.model import ViT
from edgevit.vit.unfilled import Unfilled


def test_nothing_is_drawn(variant: ViTConfig) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with Unfilled():
        ViT(variant)
    assert torch.equal(torch.rand(1), expected)


def test_a_model_so_made_and_loaded_is_the_model(variant: ViTConfig) -> None:
    other = ViT(variant).eval()
    with Unfilled():
        made = ViT(variant).eval()
    made.load_state_dict(other.state_dict(), assign=True)
    assert all(torch.equal(one, two) for one, two in zip(made.buffers(), other.buffers(), strict=True))
    images = torch.randn(2, 3, *variant.image_size)
    with torch.no_grad():
        assert torch.equal(made(images), other(images))
