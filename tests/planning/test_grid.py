"""The grid of a plan, and which of it are measured: spread, seeded, and never those that are held out."""

from __future__ import annotations

import math
import random

import pytest

from edgevit.errors import BadInput, UnknownName
from edgevit.planning import grid
from edgevit.planning.grid import Grid, candidates, chosen
from edgevit.types import Design
from edgevit.vit.config import config, multiply_adds

KINDS = (("executorch", "fp32"), ("tflite", "int8"))
EVERY = candidates(Grid(kinds=KINDS))


def test_a_grid_holds_each_shape_once_for_each_kind_of_file_and_none_that_is_too_large() -> None:
    assert len(set(EVERY)) == len(EVERY) and {(one.target, one.recipe) for one in EVERY} == set(KINDS)
    assert max(multiply_adds(one.shape) for one in EVERY) <= Grid.most
    assert {one.shape.variant for one in EVERY} >= {"Nano/16", "Ti/16", "S/32"}
    few = candidates(Grid(("Ti",), (16, 32), (96, 160), (12,), KINDS[:1]))
    assert [(one.shape.variant, one.shape.image_size[0]) for one in few] == [
        ("Ti/16", 96), ("Ti/16", 160), ("Ti/32", 96), ("Ti/32", 160),
    ]  # fmt: skip


def test_a_shape_without_a_name_is_called_so_that_it_can_be_trained() -> None:
    (one,) = candidates(Grid(("256x8x4x1024",), (16,), (96,), (6,), KINDS[:1]))
    assert one.shape.variant == "256x6x4x1024/16" and config(one.shape.variant, (96, 96), 10) == one.shape


@pytest.mark.parametrize("name", ["Tiny", "0x4x2x64", "64x4x3x128", "64x4x2"])
def test_an_unknown_variant_is_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        candidates(Grid((name,), kinds=KINDS))


def test_a_grid_without_a_model_says_so() -> None:
    with pytest.raises(BadInput, match="no model is left"):
        candidates(Grid(patches=(32,), sizes=(100,), kinds=KINDS))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_held_out_is_never_fitted(seed: int) -> None:
    fit, held_out = chosen(EVERY, Design(40, 30, seed))
    assert len(set(fit)) == 40 and len(set(held_out)) == 30 and not set(fit) & set(held_out)
    assert set(fit) | set(held_out) <= set(EVERY)
    assert {kind: sum((one.target, one.recipe) == kind for one in fit) for kind in KINDS} == dict.fromkeys(KINDS, 20)


def test_a_small_grid_keeps_half_to_fit_to() -> None:
    every = candidates(Grid(("Ti",), (16, 32), (96, 160, 224), (4, 8), KINDS[:1]))
    fit, held_out = chosen(every, Design(40, 30))
    assert len(every) == 12 and len(fit) == len(held_out) == 6 and not set(fit) & set(held_out)


def test_the_draw_hangs_on_the_seed_and_what_is_held_out_on_nothing_else() -> None:
    assert chosen(EVERY, Design(40, 30, 1)) == chosen(EVERY, Design(40, 30, 1)) != chosen(EVERY, Design(40, 30, 2))
    assert chosen(EVERY, Design(40, 30, 1))[1] == chosen(EVERY, Design(60, 30, 1))[1]


def test_those_to_fit_to_are_farther_apart_than_by_chance() -> None:
    one_kind = [one for one in EVERY if one.target == "tflite"]
    places = dict(zip(one_kind, grid._places(one_kind), strict=True))

    def apart(some: list) -> float:
        return min(math.dist(places[a], places[b]) for a in some for b in some if a is not b)

    fit = list(chosen(one_kind, Design(20, 0))[0])
    by_chance = [apart(random.Random(seed).sample(one_kind, 20)) for seed in range(20)]
    assert apart(fit) > max(by_chance)


def test_too_few_to_fit_to_are_refused() -> None:
    with pytest.raises(BadInput, match="too few for 2 kinds"):
        chosen(EVERY, Design(11))


def test_a_hybrid_is_refused() -> None:
    with pytest.raises(BadInput, match="hybrid"):
        candidates(Grid(("R50+Ti",), kinds=KINDS))
