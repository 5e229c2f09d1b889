"""Grids: where their values lie, that no weight has a nearer one, and what importance changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from edgevit.types import Weights
from quantize.compensate import compensated
from quantize.grid import Integers, Palette, grid

FORMS = [Weights(8), Weights(4), Weights(4, "int", 32), Weights(4, "int", 64), *(Weights(b, "palette") for b in (4, 6, 8))]


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(24, 128, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 2, 128)


def _all(weight: Tensor) -> Tensor:
    return torch.arange(weight.shape[1])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_each_weight_goes_to_the_nearest_value(form: Weights, weight: Tensor) -> None:
    made = grid(weight, form)
    places = made.nearest(weight, _all(weight))
    values = made.values(places, _all(weight))
    there = 2**form.bits - (form.kind == "int")
    for i, j in itertools.product(range(0, 24, 7), range(0, 128, 13)):
        column = torch.tensor([j])
        every = torch.arange(-(there // 2), there // 2 + 1) if form.kind == "int" else torch.arange(there)
        dtype = torch.int8 if form.kind == "int" else torch.uint8
        near = min(
            abs(float(made.values(torch.full((24, 1), n, dtype=dtype), column)[i, 0] - weight[i, j])) for n in every.tolist()
        )
        assert abs(float(values[i, j] - weight[i, j])) == pytest.approx(near, abs=1e-6)


@pytest.mark.parametrize("form", [f for f in FORMS if f.kind == "int"], ids=lambda form: form.name)
def test_a_scale_ends_at_the_largest_weight(form: Weights, weight: Tensor) -> None:
    made = grid(weight, form)
    assert isinstance(made, Integers) and made.scale.shape == (24, 128 // form.group if form.group else 1)
    largest = weight.reshape(24, made.scale.shape[1], -1).abs().amax(2) / (2 ** (form.bits - 1) - 1)
    assert (made.scale >= largest * (1 - 1e-6)).all() and (made.scale <= largest * (1 + 2**-7)).all()


def test_the_scale_of_a_group_is_what_every_back_end_can_hold(weight: Tensor) -> None:
    """bfloat16 in XNNPACK, float16 in TFLite and Core ML: the same number in all of them."""
    weight[3] = 0
    weight[4] *= 1e-9
    scale = grid(weight, Weights(4, "int", 32)).scale  # type: ignore[union-attr]
    assert torch.equal(scale.bfloat16().float(), scale) and torch.equal(scale.half().float(), scale) and (scale > 0).all()


def test_a_palette_is_the_k_means_of_the_weights() -> None:
    """Four clouds far apart, of unequal size: their means; and no worse than scikit-learn's where they overlap."""
    generator = np.random.default_rng(0)
    clouds = np.concatenate([generator.normal(m, 0.01, n) for m, n in ((-3, 5), (-1, 100), (0.5, 900), (2, 7))]).astype(
        np.float32
    )
    colours = grid(torch.from_numpy(clouds)[None], Weights(4, "palette")).colours  # type: ignore[union-attr]
    assert all(abs(colours - mean).min() < 0.05 for mean in (-3, -1, 0.5, 2))
    cluster = pytest.importorskip("sklearn.cluster")
    weight = torch.from_numpy(generator.standard_t(3, (32, 64)).astype(np.float32))
    made = grid(weight, Weights(4, "palette"))
    error = float((made.values(made.nearest(weight, _all(weight)), _all(weight)) - weight).square().sum())
    assert error <= 1.1 * cluster.KMeans(16, n_init=4, random_state=0).fit(weight.reshape(-1, 1).numpy()).inertia_


@pytest.mark.parametrize("form", [f for f in FORMS if f.bits < 8], ids=lambda form: form.name)
def test_importance_lessens_the_error_that_it_weighs(form: Weights, weight: Tensor) -> None:
    importance = torch.rand(128, generator=torch.Generator().manual_seed(1)) ** 4 * 10
    errors = []
    for known in (None, importance):
        made = grid(weight, form, known)
        change = made.values(made.nearest(weight, _all(weight)), _all(weight)) - weight
        errors.append(float((change.square() * importance).sum()))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_matrix_of_zeros_stays_so(form: Weights) -> None:
    weight = torch.zeros(4, 64)
    made = grid(weight, form, torch.ones(64))
    assert not made.values(made.nearest(weight, _all(weight)), _all(weight)).any()


@pytest.mark.parametrize("form", [f for f in FORMS if f.bits < 8], ids=lambda form: form.name)
def test_compensation_lessens_the_error_of_the_outputs(form: Weights, weight: Tensor) -> None:
    """Behind inputs that go together, as those of a real layer do; and without inputs that do, it rounds to the nearest."""
    mixed = torch.randn(128, 128, generator=torch.Generator().manual_seed(2)) * 0.3 + torch.eye(128)
    x = torch.randn(512, 128, generator=torch.Generator().manual_seed(3)) @ mixed
    second = x.T @ x / len(x)
    made = grid(weight, form, second.diagonal())
    nearest, better = made.nearest(weight, _all(weight)), compensated(weight, second, made)
    assert better.dtype == nearest.dtype and better.shape == nearest.shape
    errors = [float((x @ (made.values(p, _all(weight)) - weight).T).square().sum()) for p in (nearest, better)]
    assert errors[1] < 0.8 * errors[0]
    assert torch.equal(compensated(weight, torch.eye(128), made), nearest)


def test_compensation_stands_inputs_that_are_always_zero(weight: Tensor) -> None:
    second = torch.zeros(128, 128)
    second[:64, :64] = torch.eye(64)
    made = grid(weight, Weights(4, "int", 32), second.diagonal())
    assert isinstance(made, Integers | Palette)
    assert torch.equal(compensated(weight, second, made), made.nearest(weight, _all(weight)))
