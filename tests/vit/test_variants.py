"""Every option of the paper's model: counts, functions, and what does not go together."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edgevit.errors import BadInput, UnknownName
from edgevit.types import ResNetStem, ViTConfig
from edgevit.vit.config import config, multiply_adds, named, parameters, stored
from edgevit.vit.model import ViT
from edgevit.vit.stem import ResNet, standardised

# Published parameters and multiply-adds, 1000 classes: torchvision's tables of its models (it counts H/14 at 518 px).
PUBLISHED = {
    ("B/16", 224): (86_567_656, 17.564),
    ("B/32", 224): (88_224_232, 4.409),
    ("L/16", 224): (304_326_632, 61.555),
    ("L/32", 224): (306_535_400, 15.378),
    ("H/14", 518): (633_470_440, 1016.717),
}


@pytest.mark.parametrize(("name", "size"), PUBLISHED)
def test_published_counts(name: str, size: int) -> None:
    shape = config(name, (size, size), 1000)
    count, billions = PUBLISHED[name, size]
    assert parameters(shape) == count
    assert multiply_adds(shape) / 1e9 == pytest.approx(billions, abs=0.0006)


@pytest.mark.parametrize(("name", "millions"), [("R26+S/32", 36.43), ("R50+L/32", 328.99)])
def test_published_counts_of_hybrids(name: str, millions: float) -> None:
    """As timm lists the models of the AugReg paper (arXiv 2106.10270), which are these hybrids."""
    assert parameters(config(name, (224, 224), 1000)) / 1e6 == pytest.approx(millions, abs=0.006)


def test_counts_are_those_of_the_model(variant: ViTConfig) -> None:
    model = ViT(variant)
    assert sum(p.numel() for p in model.parameters()) == parameters(variant)
    assert sum(t.numel() for t in model.state_dict().values()) == stored(variant)


def test_multiply_adds_are_those_that_torch_counts(variant: ViTConfig) -> None:
    model = ViT(variant).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # torch counts no other kind of attention on a CPU
        model(torch.zeros(1, 3, *variant.image_size))
    assert counter.get_total_flops() == 2 * multiply_adds(variant)


def test_every_token_and_position_counts(variant: ViTConfig) -> None:
    """Each parameter changes the answers: none is built and forgotten."""
    torch.manual_seed(0)
    model = ViT(variant)
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    model(torch.randn(2, 3, *variant.image_size)).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert idle == []


def test_head_is_zero_at_first(variant: ViTConfig) -> None:
    logits = ViT(variant)(torch.randn(2, 3, *variant.image_size))
    assert torch.equal(logits, torch.zeros(2, variant.classes))


def test_without_positions_patches_have_no_place() -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, 16, 32)
    swapped = torch.cat([images[..., 16:], images[..., :16]], -1)
    for positions, same in (("none", True), ("1d", False), ("2d", False), ("relative", False), ("sincos", False)):
        model = ViT(dataclasses.replace(config("Pico/16", (16, 32), 4), positions=positions)).eval()
        torch.nn.init.normal_(model.head.weight)
        assert torch.allclose(model(images), model(swapped), atol=1e-5) is same, positions


def test_relative_positions_are_extra_attention() -> None:
    """Appendix D.4, pair by pair: the query dotted with the vector of the offset, added to the logits."""
    torch.manual_seed(0)
    model = ViT(dataclasses.replace(config("Pico/8", (16, 24), 4), positions="relative")).double().eval()
    attention = model.blocks[0].attn
    torch.nn.init.normal_(attention.relative.table)
    x = torch.randn(1, 7, 64, dtype=torch.float64)
    q, k, v = (t.reshape(7, 2, 32) for t in attention.qkv(x)[0].chunk(3, -1))
    table, columns = attention.relative.table, 2 * 3 - 1
    place = [None, *((i // 3, i % 3) for i in range(6))]
    logits = torch.zeros(2, 7, 7, dtype=torch.float64)
    for a, asking in enumerate(place):
        for b, seen in enumerate(place):
            if asking and seen:
                row = (asking[0] - seen[0] + 1) * columns + asking[1] - seen[1] + 2
            else:
                row = -3 if asking else (-2 if seen else -1)
            for h in range(2):
                logits[h, a, b] = q[a, h] @ (k[b, h] + table[row]) / 32**0.5
    expected = torch.einsum("hab,bhd->ahd", logits.softmax(-1), v).reshape(1, 7, 64)
    assert torch.allclose(attention(x), attention.proj(expected), atol=1e-12)
    assert torch.allclose(attention.weights(x)[0], logits.softmax(-1), atol=1e-12)


def test_distilled_heads_are_averaged() -> None:
    torch.manual_seed(0)
    model = ViT(dataclasses.replace(config("Pico/8", (16, 16), 4), pool="distilled")).eval()
    for head in model.heads():
        torch.nn.init.normal_(head.weight)
    images = torch.randn(2, 3, 16, 16)
    first, second = model.answers(*model.encode(model.embed(model.patch_embed(images))))
    assert not torch.allclose(first, second)
    assert torch.allclose(model(images), (first + second) / 2)


def test_tanh_gelu_is_another_function() -> None:
    torch.manual_seed(0)
    erf = ViT(config("Pico/8", (16, 16), 4)).eval()
    tanh = ViT(dataclasses.replace(erf.config, gelu="tanh")).eval()
    torch.nn.init.normal_(erf.head.weight)
    tanh.load_state_dict(erf.state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert 0 < (erf(images) - tanh(images)).abs().max() < 1e-2


def test_standardised_kernels() -> None:
    kernels = standardised(torch.randn(8, 3, 5, 5) * 3 + 2)
    assert torch.allclose(kernels.mean((1, 2, 3)), torch.zeros(8), atol=1e-6)
    assert torch.allclose(kernels.var((1, 2, 3), unbiased=False), torch.ones(8), atol=1e-4)


@pytest.mark.parametrize("layers", [(1,), (1, 2), (1, 1, 1), (1, 1, 1, 1)])
def test_feature_map_of_a_stem(layers: tuple[int, ...]) -> None:
    stem = ResNetStem(layers, width=8)
    found = ResNet(stem)(torch.randn(1, 3, 64, 32))
    assert found.shape == (1, stem.channels, 64 // stem.stride, 32 // stem.stride)


def test_stochastic_depth_leaves_branches_out_in_training_alone() -> None:
    torch.manual_seed(0)
    model = ViT(config("Pico/8", (16, 16), 4))
    torch.nn.init.normal_(model.head.weight)
    images = torch.randn(64, 3, 16, 16)
    expected = model.eval()(images)
    for block in model.blocks:
        block.drop_path = 0.5
    assert torch.equal(model(images), expected)
    assert not torch.allclose(model.train()(images), expected, atol=1e-3)
    block = model.blocks[0]
    kept = block._kept(torch.ones(10_000, 1, 1)).flatten()
    assert set(kept.tolist()) == {0.0, 2.0} and kept.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["R50+", "+B/16", "R50+B/8", "R99+B/16", "R50+Ti", "R50+R50+B/16"])
def test_odd_hybrids_are_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        config(name, (224, 224), 10)


def test_patch_must_divide_both_sides() -> None:
    with pytest.raises(BadInput, match="does not divide image size 224x100") as caught:
        config("Ti/16", (224, 100), 10)
    assert "224x96" in caught.value.hint


@pytest.mark.parametrize("name", ["Ti/16", "B/32", "R50+B/16", "R26+S/32", "R8+Nano/8"])
def test_a_shape_knows_its_name(name: str) -> None:
    assert named(config(name, (224, 224), 10)) == name


@pytest.mark.parametrize(
    "change",
    [{"pool": "max"}, {"positions": "rotary"}, {"gelu": "quick"}, {"registers": -1}, {"pool": "distilled", "representation": 8}],
)
def test_options_that_are_not_there_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        dataclasses.replace(config("Pico/8", (16, 16), 4), **change)


def test_a_variant_that_is_spelt_out_has_those_figures() -> None:
    shape = config("256x8x4x1024/16", (96, 96), 10)
    assert (shape.width, shape.depth, shape.heads, shape.mlp, shape.patch) == (256, 8, 4, 1024, 16)
    assert named(shape) == shape.variant == "256x8x4x1024/16"


@pytest.mark.parametrize(
    "name", ["256x8x3x1024/16", "0x8x4x1024/16", "256x8x4/16", "256x8x4x1024", "R50+256x8x4x1024/15", "256x8x4x1024/99"]
)
def test_a_variant_that_is_spelt_out_wrongly_is_unknown(name: str) -> None:
    with pytest.raises(UnknownName):
        config(name, (96, 96), 10)
