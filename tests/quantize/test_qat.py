"""Training that sees the rounding: the same names, the same integers as an export makes, gradients as if nothing had happened."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

import quantize
from edgevit.errors import BadInput
from edgevit.types import LayerRule, Weights
from edgevit.vit.model import ViT
from quantize import qat
from quantize.apply import apply, quantized
from quantize.grid import grid


def plain(name: str, **changes: object):  # type: ignore[no-untyped-def]
    recipe = dataclasses.replace(quantize.get(name), rounding="nearest", smoothing=False, bias_correction=False)
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", ["int8", "int8-weights", "int4-g32", "int4", "palette4"])
def test_what_is_seen_in_training_is_what_is_exported(recipe: str, model: ViT) -> None:
    images = torch.randn(4, 3, 32, 32)
    names = list(model.state_dict())
    seeing = copy.deepcopy(model)
    qat.prepare(seeing, plain(recipe))
    assert list(seeing.state_dict()) == names and len(list(seeing.parameters())) == len(list(model.parameters()))
    exported = apply(copy.deepcopy(model), plain(recipe), dynamic=True)
    with torch.no_grad():
        seen, made, whole = (m(images) for m in (seeing, exported, model))
    assert (seen - made).norm() < 1e-3 * made.norm() < (whole - made).norm() * 10
    assert (seen - whole).norm() > 1e-3 * whole.norm()


def test_gradients_pass_the_rounding(model: ViT) -> None:
    seeing = copy.deepcopy(model)
    qat.prepare(seeing, plain("int4-g32", activations="none"))
    seeing(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() and p.grad.any() for n, p in seeing.named_parameters() if "blocks" in n
    )


def test_a_few_steps_lessen_what_rounding_costs(model: ViT) -> None:
    """Taught by the model itself, as --quantize does."""
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(images)

    def off(m: ViT) -> float:
        after = copy.deepcopy(m).requires_grad_(False)
        quantized(after, plain("int4")).put(after, dynamic=False)
        return float((after(images) - expected).norm() / expected.norm())

    before = off(model)
    seeing = copy.deepcopy(model)
    qat.prepare(seeing, plain("int4", activations="none"))
    optimiser = torch.optim.Adam(seeing.parameters(), 1e-3)
    for _ in range(40):
        loss = (seeing(images) - expected).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trained = ViT(model.config).eval()
    trained.load_state_dict(seeing.state_dict())
    assert off(trained) < 0.7 * before


def test_rules_hold_in_training_too(model: ViT) -> None:
    qat.prepare(model, plain("int4", layers=(LayerRule("head", Weights(32, "float")), LayerRule("blocks.0.*", Weights(8)))))
    kinds = {
        name: m.weight_fake_quantizer.form.name for name, m in model.named_modules() if isinstance(m, qat.FakeQuantizedLinear)
    }
    assert "head" not in kinds and kinds["blocks.0.attn.qkv"] == "int8" and kinds["blocks.1.attn.qkv"] == "int4"
    with pytest.raises(BadInput, match="no Linear matches"):
        qat.prepare(model, plain("int4", layers=(LayerRule("nothing", Weights(8)),)))


def test_in_training_a_palette_is_found_anew_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qat, "STEPS", 3)
    found = []
    monkeypatch.setattr(qat, "grid", lambda weight, form: found.append(form) or grid(weight, form))
    fake = qat.OnGrid(Weights(4, "palette")).train()
    weight = torch.randn(8, 8)
    for _ in range(7):
        fake(weight)
    assert len(found) == 3, "at the first, the fourth and the seventh step"
    fake.train()
    fake(weight)
    assert len(found) == 4, "and at the beginning of an epoch"
    fake.eval()
    for _ in range(2):
        fake(weight)
    assert len(found) == 6, "what validation sees is what would be exported"
