"""Training that sees the rounding: the same names, the same integers as an export holds, gradients as if nothing had happened."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

import quantize
from edgevit.types import LayerRule, QuantRecipe, Weights
from edgevit.vit.model import ViT
from quantize import qat
from quantize.apply import quantized
from quantize.quantized import Matrix, Quantized, read


def recipe(name: str, **changes: object) -> QuantRecipe:
    return dataclasses.replace(quantize.get(name), **changes)  # type: ignore[arg-type]


def seeing(model: ViT, chosen: QuantRecipe, images: torch.Tensor) -> tuple[ViT, Quantized]:
    """A copy of `model` that sees the rounding, and what it begins with."""
    after, made = copy.deepcopy(model), quantized(model, chosen, images)
    qat.prepare(after, made, chosen.activations == "dynamic")
    return after, made


@pytest.mark.parametrize("name", ["int8", "int8-weights", "int4-g32", "int4", "palette4"])
def test_it_begins_with_what_rounding_with_care_made(name: str, model: ViT) -> None:
    images, names = torch.randn(4, 3, 32, 32), list(model.state_dict())
    after, made = seeing(model, recipe(name), images)
    assert list(after.state_dict()) == names and len(list(after.parameters())) == len(list(model.parameters()))
    exported = copy.deepcopy(model)
    made.put(exported, recipe(name).activations == "dynamic")
    with torch.no_grad():
        seen, answered, whole = (m(images) for m in (after, exported, model))
    assert (seen - answered).norm() < 1e-3 * answered.norm() < (whole - answered).norm() * 10
    assert (seen - whole).norm() > 1e-3 * whole.norm()
    same(qat.learned(after).matrices, made.matrices)


def test_what_is_learned_is_what_is_exported(model: ViT, tmp_path: Path) -> None:
    """Other integers than at the beginning, on the same scales, from a file and into torchao's tensors."""
    images = torch.randn(4, 3, 32, 32)
    after, made = seeing(model, recipe("int4-g32"), images)
    with torch.no_grad():
        for p in after.parameters():
            p += 0.02 * torch.randn_like(p)
    found = qat.learned(after)
    assert any((found.matrices[name].places != matrix.places).any() for name, matrix in made.matrices.items())
    found.save(tmp_path / "quantized.safetensors")
    exported = ViT(model.config).eval()
    exported.load_state_dict(after.state_dict())
    again = read(tmp_path / "quantized.safetensors", exported)
    same(again.matrices, found.matrices)
    again.put(exported, dynamic=True)
    with torch.no_grad():
        seen, answered = after(images), exported(images)
    assert (seen - answered).norm() < 1e-3 * answered.norm()


def same(some: dict[str, Matrix], others: dict[str, Matrix]) -> None:
    assert some.keys() == others.keys()
    assert all(torch.equal(matrix.places, others[name].places) for name, matrix in some.items())
    assert all(torch.equal(matrix.values(), others[name].values()) for name, matrix in some.items())


def test_gradients_pass_the_rounding(model: ViT) -> None:
    after, _ = seeing(model, recipe("int4-g32", activations="none"), torch.randn(4, 3, 32, 32))
    after(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() and p.grad.any() for n, p in after.named_parameters() if "blocks" in n
    )


def test_a_few_steps_lessen_what_rounding_costs(model: ViT) -> None:
    """Taught by the model itself, as --quantize does."""
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    chosen = recipe("int4", activations="none")
    with torch.no_grad():
        expected = model(images)

    def off(weights: dict[str, torch.Tensor], made: Quantized) -> float:
        after = ViT(model.config).eval().requires_grad_(False)
        after.load_state_dict(weights)
        made.put(after, dynamic=False)
        return float((after(images) - expected).norm() / expected.norm())

    after, made = seeing(model, chosen, images[:16])
    before = off(model.state_dict(), made)
    optimiser = torch.optim.Adam(after.parameters(), 1e-3)
    for _ in range(40):
        loss = (after(images) - expected).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert off(after.state_dict(), qat.learned(after)) < 0.7 * before


def test_rules_hold_in_training_too(model: ViT) -> None:
    rules = (LayerRule("head", Weights(32, "float")), LayerRule("blocks.0.*", Weights(8)))
    after, _ = seeing(model, recipe("int4", layers=rules), torch.randn(4, 3, 32, 32))
    largest = {
        name: m.weight_fake_quantizer.made.largest for name, m in after.named_modules() if isinstance(m, qat.FakeQuantizedLinear)
    }
    assert "head" not in largest and largest["blocks.0.attn.qkv"] == 127 and largest["blocks.1.attn.qkv"] == 7
