"""Activations at scales known beforehand: their ranges, what calibration finds, and the file that keeps it."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

import quantize
from edgevit.errors import DamagedFile
from edgevit.types import LayerRule, Weights
from edgevit.vit.model import ViT
from edgevit.vit.static import Rounding, StaticLinear
from quantize import quantized as stored
from quantize.apply import quantized
from quantize.quantized import linears
from quantize.ranges import SAMPLE, Seen, rounding

RECIPE = quantize.get("int8-static")


@pytest.fixture
def images() -> Tensor:
    return torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def distance(model: ViT, other: ViT, images: Tensor) -> float:
    expected = model(images)
    return float((other(images) - expected).norm() / expected.norm())


@torch.no_grad()
def after(model: ViT, images: Tensor, **changes: object) -> ViT:
    changed = copy.deepcopy(model).requires_grad_(False)
    quantized(model, dataclasses.replace(RECIPE, **changes), images).put(changed, False)  # type: ignore[arg-type]
    return changed


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1e-30, 1e30)])
def test_a_range_holds_its_ends_and_zero_exactly(low: float, high: float) -> None:
    held = Rounding.between(low, high)
    ends = torch.tensor([low, high, 0.0])
    assert (held(ends) - ends).abs().max() <= held.scale[0] * 0.51
    assert held(torch.zeros(1)) == 0
    assert held.ends[0] <= 0 <= held.ends[1]


def test_what_is_outside_a_range_is_clipped() -> None:
    assert Rounding.between(-1, 1)(torch.tensor([5.0])) <= 1.01


def test_channels_have_ranges_of_their_own_and_keep_them_when_cut_and_scaled() -> None:
    both = Rounding(torch.tensor([0.1, 0.1, 0.5]), torch.tensor([0, 0, 7], dtype=torch.int32))
    x = torch.tensor([[0.26, 0.31, 3.3]])
    assert torch.allclose(both(x), torch.tensor([[0.3, 0.3, 3.5]]))
    assert both.rows(0, 2).single == (pytest.approx(0.1), 0)
    assert torch.allclose(both.rows(2, 3).scaled(0.5)(x[:, 2:] / 2), both.rows(2, 3)(x[:, 2:]) / 2)
    with pytest.raises(ValueError, match="scales of their own"):
        both.single  # noqa: B018


def seen(values: np.ndarray) -> Seen:
    found = Seen()
    for part in np.array_split(values.astype(np.float32), 4):
        found.add(torch.from_numpy(part))
    return found


def test_ranges_end_where_the_recipe_says() -> None:
    values = np.random.default_rng(0).normal(size=200_000)
    values[7] = 90.0
    ends = {how: rounding(seen(values), how).ends for how in ("minmax", "percentile", "mse")}
    assert ends["minmax"][1] == pytest.approx(90, rel=0.01)
    assert 3 < ends["percentile"][1] < 4.5 and -4.5 < ends["percentile"][0] < -3
    single = torch.from_numpy(values).float()
    errors = {how: float((rounding(seen(values), how)(single) - single).square().mean()) for how in ends}
    assert errors["mse"] < 0.9 * min(errors["minmax"], errors["percentile"])


@pytest.mark.parametrize("channels", [8, 9, 15, 192])
def test_a_sample_leaves_out_no_channel(channels: int) -> None:
    """Nine times as many values as are kept: every ninth of 192 channels would be one channel of three."""
    x = torch.arange(float(channels)).repeat(9 * SAMPLE // channels + 1, 1)
    found = Seen()
    found.add(x)
    assert len(found.parts[0]) < x.numel() / 4 and set(found.parts[0].tolist()) == set(range(channels))


def test_every_linear_rounds_what_enters_and_leaves_it(model: ViT, images: Tensor) -> None:
    changed = after(model, images)
    assert all(isinstance(linear, StaticLinear) for _, linear in linears(changed))
    qkv = changed.get_submodule("blocks.0.attn.qkv")
    assert isinstance(qkv, StaticLinear)
    width = model.config.width
    q, k, v = (qkv.leaving.rows(i * width, (i + 1) * width).single for i in range(3))
    assert len({q, k, v}) > 1, "q, k and v have ranges of their own"
    given = qkv(torch.randn(1, 4, width))
    assert torch.equal(given, qkv.leaving(given))
    assert 0 < distance(model, changed, images) < 0.1


def test_ranges_hold_images_that_were_not_seen(model: ViT, images: Tensor) -> None:
    others = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(6))
    assert distance(model, after(model, images), others) < 0.1


def test_smoothing_takes_what_rounding_entering_channels_costs_into_account(model: ViT, images: Tensor) -> None:
    for block in model.layers():
        block.norm1.weight.data[:2] *= 30
        block.norm2.weight.data[:2] *= 30
        block.attn.qkv.weight.data[:, :2] /= 30
        block.mlp.fc1.weight.data[:, :2] /= 30
    with_it, without = (distance(model, after(model, images, smoothing=smoothing), images) for smoothing in (True, False))
    assert with_it < 0.6 * without


def test_a_layer_that_stays_in_float_rounds_nothing(model: ViT, images: Tensor) -> None:
    changed = after(model, images, layers=(LayerRule("head", Weights(32, "float")),))
    assert not isinstance(changed.head, StaticLinear)
    assert isinstance(changed.get_submodule("blocks.1.mlp.fc2"), StaticLinear)


@pytest.fixture
def file(model: ViT, images: Tensor, tmp_path: Path) -> Path:
    made = dataclasses.replace(quantized(model, RECIPE, images), images=Rounding.between(-2.0, 2.5))
    made.save(tmp_path / "quantized.safetensors")
    return tmp_path / "quantized.safetensors"


@torch.no_grad()
def test_the_file_keeps_it(model: ViT, images: Tensor, file: Path) -> None:
    again = copy.deepcopy(model).requires_grad_(False)
    stored.read(file, model).put(again, False)
    assert torch.equal(again(images), after(model, images)(images))
    assert again.entering and again.entering.ends == pytest.approx((-2.0, 2.5), abs=0.02)


@pytest.mark.parametrize(
    ("key", "tensor"),
    [
        ("entering/head", None),
        ("leaving/head", None),
        ("leaving/head", torch.ones(2, 3)),
        ("entering/head", torch.ones(2, 2)),
        ("entering/head", torch.tensor([[0.0], [0.0]])),
        ("entering/head", torch.tensor([[float("nan")], [0.0]])),
        ("entering/head", torch.tensor([[1.0], [300.0]])),
        ("entering/other", torch.ones(2, 1)),
        ("entering/images", torch.ones(3)),
    ],
)
def test_a_damaged_file_is_refused(model: ViT, file: Path, key: str, tensor: Tensor | None) -> None:
    tensors = safetensors.torch.load_file(file)
    tensors.pop(key, None)
    if tensor is not None:
        tensors[key] = tensor
    safetensors.torch.save_file(tensors, file)
    with pytest.raises(DamagedFile, match=r"range|of another model"):
        stored.read(file, model)
