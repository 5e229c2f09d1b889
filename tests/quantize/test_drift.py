"""What a Linear makes good of the errors before it: the least squares, and that a model gains by it."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

import quantize
from edgevit.vit.model import ViT
from quantize import apply, drift
from quantize.apply import quantized
from quantize.drift import Lack, corrected, lack
from quantize.observe import Entering
from quantize.walk import Room, rooms


@pytest.fixture
def images() -> Tensor:
    return torch.randn(48, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def first(model: ViT, images: Tensor) -> Room:
    return next(rooms(model, images))


def test_without_errors_nothing_lacks(model: ViT, images: Tensor) -> None:
    model.requires_grad_(False)
    room = first(model, images)
    for name in room.names:
        seen, found = lack(name, room, room)
        assert torch.allclose(seen.mean, room.entering((name,))[name].mean, atol=1e-6)
        assert found.mean.abs().max() < 1e-5 and found.cross.abs().max() < 1e-5 and found.count == 48 * 17


def test_what_the_stream_lost_is_given_back_by_who_writes_to_it(model: ViT, images: Tensor) -> None:
    """A stream that is 0.5 too low in its third channel: the projection lacks it, and the map to q, k and v does not."""
    model.requires_grad_(False)
    room = first(model, images)
    low = dataclasses.replace(room, states=[(x - 0.5 * torch.eye(x.shape[-1])[2], a, b) for x, a, b in room.states])
    _, found = lack("blocks.0.attn.proj", room, low)
    assert found.mean.argmax() == 2 and found.mean[2] == pytest.approx(0.5, abs=0.2)
    assert lack("blocks.0.attn.qkv", room, low)[1].mean.abs().max() < 0.3


def test_the_correction_is_the_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    linear, other = nn.Linear(6, 3).requires_grad_(False), nn.Linear(6, 3).requires_grad_(False)
    x = torch.randn(4000, 6) @ torch.randn(6, 6) + 2
    seen, lacking = Entering.nothing(6), Lack(torch.zeros(3), torch.zeros(3, 6))
    for part in x.split(1000):
        seen.add(part)
        lacking.add(other(part) - linear(part), part)
    monkeypatch.setattr(drift, "RIDGE", 1e-9)
    assert torch.allclose(corrected(linear.weight, lacking, seen), other.weight, atol=1e-3)
    monkeypatch.setattr(drift, "RIDGE", 1e9)
    assert torch.allclose(corrected(linear.weight, lacking, seen), linear.weight, atol=1e-3)


def test_a_model_gains_by_it_on_images_that_were_not_seen(model: ViT, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    others = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(6))
    model.requires_grad_(False)
    expected = model(others)

    def error() -> float:
        changed = copy.deepcopy(model)
        quantized(model, quantize.get("palette4"), images).put(changed, False)
        return float((changed(others) - expected).norm() / expected.norm())

    with_it = error()
    monkeypatch.setattr(apply, "lack", lambda name, _, room: (room.entering((name,))[name], NOTHING))
    monkeypatch.setattr(apply, "corrected", lambda weight, *_: weight)
    assert with_it < 0.97 * error()


NOTHING = Lack(torch.zeros(1), torch.zeros(1, 1))
