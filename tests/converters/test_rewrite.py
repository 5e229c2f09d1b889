"""Every rewrite computes the same function, and one that does not is refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import quantize
from converters import rewrite
from converters.linear import after_affine, dequantized, rows, scaled
from edgevit.errors import EdgevitError
from edgevit.types import ViTConfig
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize.apply import apply, integers


def noisy(shape: ViTConfig | None = None) -> ViT:
    torch.manual_seed(0)
    vit = ViT(shape or config("Pico/8", (16, 16), 5)).eval()
    for p in vit.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return vit.requires_grad_(False)


WAYS = [rewrite.for_xnnpack, rewrite.for_tflite, rewrite.for_coreml]


@pytest.mark.parametrize("how", WAYS)
def test_same_function(how, variant: ViTConfig) -> None:  # type: ignore[no-untyped-def]
    vit, image = noisy(variant), torch.randn(1, 3, *variant.image_size)
    expected = vit(image)
    assert (how(vit)(image) - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("how", WAYS)
def test_integers_survive(how, variant: ViTConfig) -> None:  # type: ignore[no-untyped-def]
    vit = noisy(variant)
    apply(vit, quantize.get("int8"), activations=False)
    image = torch.randn(1, 3, *variant.image_size)
    expected = vit(image)
    rewritten = how(vit)
    assert (rewritten(image) - expected).norm() <= 1e-5 * expected.norm()
    before = torch.cat([q.flatten() for q in integers(vit).values()]).sort().values
    after = torch.cat([q.flatten() for q in integers(rewritten).values()]).sort().values
    assert torch.equal(before, after)


def test_a_rewrite_that_is_not_exact_is_refused() -> None:
    def wrong(vit: ViT) -> nn.Module:
        vit = rewrite._gain_first(vit)
        vit.head.bias += 1e-6
        return vit

    with pytest.raises(EdgevitError, match="wrong is not exact"):
        rewrite._proven(noisy(), wrong)


@pytest.mark.parametrize("quantized", [True, False])
def test_cut_and_scaled_linears(quantized: bool) -> None:
    torch.manual_seed(1)
    linear, x = nn.Linear(8, 6).requires_grad_(False), torch.randn(4, 8)
    if quantized:
        apply(nn.Sequential(linear), quantize.get("int8"), activations=False)
    expected = linear(x)
    assert torch.allclose(rows(linear, 2, 5)(x), expected[:, 2:5], atol=1e-6)
    assert torch.allclose(scaled(linear, 0.3)(x), 0.3 * expected, atol=1e-6)
    assert torch.allclose(dequantized(nn.Sequential(linear))(x), expected, atol=1e-6)


def test_folded_affine() -> None:
    torch.manual_seed(1)
    linear, x, gain, shift = nn.Linear(8, 6).requires_grad_(False), torch.randn(4, 8), torch.randn(8), torch.randn(8)
    assert torch.allclose(after_affine(linear, gain, shift)(x), linear(gain * x + shift), atol=1e-5)
