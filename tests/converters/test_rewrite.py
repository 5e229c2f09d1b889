"""Every rewrite computes the same function, and one that does not is refused by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

import converters
import quantize
from converters.linear import after_affine, centred, dequantized, held, rows, scaled
from converters.rewrite.activations import TANH_GELU
from converters.rewrite.norms import SpeltNorm
from converters.rewrite.parts import Authored
from converters.rewrite.rewriting import Rewrite, rewritten
from edgevit.errors import EdgevitError
from edgevit.types import Merge, ViTConfig
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize.apply import apply
from quantize.quantized import linears
from targets import all_targets

LISTS = sorted({target.converter for target in all_targets()})


def noisy(shape: ViTConfig | None = None) -> ViT:
    torch.manual_seed(0)
    vit = ViT(shape or config("Pico/8", (16, 16), 5)).eval()
    for p in vit.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return vit.requires_grad_(False)


def rewrites(converter: str) -> tuple[Rewrite, ...]:
    found: tuple[Rewrite, ...] = converters.file(converter).REWRITES
    return found


def exact(converter: str) -> list[Rewrite]:
    return [rewrite for rewrite in rewrites(converter) if rewrite.exact]


def merging(converter: str) -> bool:
    return any(target.merges for target in all_targets() if target.converter == converter)


def skip_unmerged(converter: str, shape: ViTConfig) -> None:
    if shape.merges and not merging(converter):
        pytest.skip(f"{converter} cannot merge patches, and says so before any work (tests/test_pairs.py)")


def image(shape: ViTConfig) -> torch.Tensor:
    return torch.randn(1, 3, *shape.image_size)


@pytest.mark.parametrize("converter", LISTS)
def test_same_function(converter: str, variant: ViTConfig) -> None:
    skip_unmerged(converter, variant)
    vit, one = noisy(variant), image(variant)
    expected = vit(one)
    authored, done = rewritten(vit, exact(converter), image(variant))
    assert (authored(one) - expected).norm() <= 1e-5 * expected.norm()
    assert all(made.float64 <= 1e-9 and made.float32 <= 1e-5 and made.parts > 0 for made in done)
    assert torch.equal(vit(one), expected), "the checkpoint's own model was changed"


def integers(model: nn.Module) -> list[torch.Tensor]:
    return [found.integers for _, linear in linears(model) if (found := held(linear))]


@pytest.mark.parametrize("converter", LISTS)
def test_integers_survive(converter: str, variant: ViTConfig) -> None:
    skip_unmerged(converter, variant)
    vit, one = noisy(variant), image(variant)
    apply(vit, quantize.get("int8"), dynamic=False)
    expected = vit(one)
    authored, _ = rewritten(vit, exact(converter), image(variant))
    assert (authored(one) - expected).norm() <= 1e-5 * expected.norm()
    before = torch.cat([q.flatten() for q in integers(vit)]).sort().values
    after = torch.cat([q.flatten() for q in integers(authored)]).sort().values
    assert torch.equal(before, after)


@pytest.mark.parametrize("converter", LISTS)
def test_every_rewrite_has_something_to_do(converter: str) -> None:
    """In models that have everything that they replace: some, since one has one GELU, and merges have no relative positions."""
    shape = dataclasses.replace(config("R8+Nano/8", (32, 32), 5), positions="relative")
    changes: list[dict[str, Any]] = [{}, {"gelu": "tanh"}]
    changes += [{"positions": "1d", "merges": (Merge(1, 12),)}] * merging(converter)
    names = set()
    for change in changes:
        one = dataclasses.replace(shape, **change)
        names |= {made.name for made in rewritten(noisy(one), rewrites(converter), image(one))[1]}
    assert names == {rewrite.name for rewrite in rewrites(converter)}


@pytest.mark.parametrize("converter", LISTS)
def test_what_is_not_exact_comes_last(converter: str) -> None:
    """Behind it no other could be proven."""
    marks = [rewrite.exact for rewrite in rewrites(converter)]
    assert marks == sorted(marks, reverse=True)


def test_the_tanh_form_of_gelu_is_measured() -> None:
    vit = noisy()
    _, done = rewritten(vit, [TANH_GELU], image(vit.config))
    assert [(made.exact, made.parts) for made in done] == [(False, vit.config.depth)]
    assert 1e-6 < done[0].float32 < 0.01 and 1e-6 < done[0].float64 < 0.01


def spoils(amount: float, exact: bool = True) -> Rewrite:
    def apply(model: Authored) -> int:
        model.patches.proj.bias.data[0] += amount  # type: ignore[union-attr]
        return 1

    return Rewrite("spoil", "a bias", "it is wrong", apply, exact=exact)


def test_a_rewrite_that_is_not_exact_is_refused_by_name() -> None:
    vit = noisy()
    with pytest.raises(EdgevitError, match=r"'spoil' is not exact: relative difference .* in float64"):
        rewritten(vit, [spoils(1e-6)], image(vit.config))


def test_one_that_says_that_it_is_not_exact_is_measured() -> None:
    vit = noisy()
    _, (made,) = rewritten(vit, [spoils(1e-2, exact=False)], image(vit.config))
    assert 1e-5 < made.float32 < 1 and 1e-5 < made.float64 < 1 and not made.exact


def test_real_images_are_looked_at_too() -> None:
    """A rewrite that is right on the random image alone is refused."""
    vit = noisy()

    class Cut(nn.Module):
        def __init__(self, patches: nn.Module) -> None:
            super().__init__()
            self.patches = patches

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.patches(images.clamp(max=9))

    def apply(model: Authored) -> int:
        model.patches = Cut(model.patches)
        return 1

    with pytest.raises(EdgevitError, match="'cut' is not exact"):
        rewritten(vit, [Rewrite("cut", "nothing", "no image is as bright", apply)], 10 * torch.ones(1, 3, 16, 16))


@pytest.mark.parametrize("quantized", [True, False])
def test_cut_and_scaled_linears(quantized: bool) -> None:
    torch.manual_seed(1)
    linear, x = nn.Linear(8, 6).requires_grad_(False), torch.randn(4, 8)
    if quantized:
        apply(nn.Sequential(linear), quantize.get("int8"), dynamic=False)
    expected = linear(x)
    assert torch.allclose(rows(linear, 2, 5)(x), expected[:, 2:5], atol=1e-6)
    assert torch.allclose(scaled(linear, 0.3)(x), 0.3 * expected, atol=1e-6)
    assert torch.allclose(dequantized(nn.Sequential(linear))(x), expected, atol=1e-6)


def test_folded_affine() -> None:
    torch.manual_seed(1)
    linear, x, gain, shift = nn.Linear(8, 6).requires_grad_(False), torch.randn(4, 8), torch.randn(8), torch.randn(8)
    assert torch.allclose(after_affine(linear, gain, shift)(x), linear(gain * x + shift), atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Linear(8, 6), nn.Conv2d(8, 6, 1)])
def test_centred(layer: nn.Linear | nn.Conv2d) -> None:
    x = torch.randn(4, 8, 1, 1) if isinstance(layer, nn.Conv2d) else torch.randn(4, 8)
    before = layer.weight.clone()
    answered = layer(x)
    assert torch.allclose(centred(layer)(x), answered - answered.mean(1, keepdim=True), atol=1e-6)
    assert torch.equal(layer.weight, before), "the checkpoint's own layer was changed"


@pytest.mark.parametrize("converter", ["executorch", "tflite"])
@pytest.mark.parametrize("quantized", [True, False])
def test_what_is_left_of_a_norm(converter: str, quantized: bool) -> None:
    """All of it, where it could only go into integers, or would cost them accuracy."""
    vit = noisy()
    if quantized:
        apply(vit, quantize.get("int8"), dynamic=True)
    authored, _ = rewritten(vit, rewrites(converter), image(vit.config))
    norms = [module for module in authored.modules() if isinstance(module, SpeltNorm)]
    assert len(norms) == 2 * vit.config.depth + 1
    assert all((norm.centre, norm.gain is not None, norm.shift is not None) == (quantized,) * 3 for norm in norms)
