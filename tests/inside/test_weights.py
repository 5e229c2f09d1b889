"""What the weights alone show: principal components, and how alike positions are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgevit.inside import weights
from edgevit.types import ResNetStem, ViTConfig
from edgevit.vit.model import ViT
from edgevit.vit.positions import sines

PLAIN = ViTConfig("Pico/8", (16, 24), 8, 16, 2, 2, 32, 5)


def test_principal_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(40, 12)) @ np.random.default_rng(1).normal(size=(12, 12))
    patterns, shares = weights.principal(rows, 5)
    expected = PCA(5).fit(rows)
    assert shares == pytest.approx(expected.explained_variance_ratio_)
    assert np.abs((patterns * expected.components_).sum(1)) == pytest.approx(np.ones(5))
    assert (np.take_along_axis(patterns, np.abs(patterns).argmax(1)[:, None], 1) > 0).all()


def test_filters_that_are_all_alike_have_no_components() -> None:
    patterns, shares = weights.principal(np.ones((6, 12)), 5)
    assert patterns.shape == (0, 12) and shares.shape == (0,)


def test_a_pattern_keeps_its_place_and_its_colour() -> None:
    """Two filters that differ in the blue of one pixel alone."""
    model = ViT(replace(PLAIN, width=4, heads=1))
    model.patch_embed.proj.weight.data.zero_()
    model.patch_embed.proj.weight.data[1, 2, 3, 5] = 7.0
    found = weights.components(model)
    assert found.patterns.shape == (1, 8, 8, 3) and found.figures.shares == (1.0,)
    assert found.patterns[0, 3, 5].tolist() == pytest.approx([0, 0, 1]) and np.count_nonzero(found.patterns) == 1
    assert (found.figures.layer, found.figures.count, found.figures.size) == ("patch embedding", 4, (8, 8))


def test_a_hybrid_shows_the_filters_of_its_root() -> None:
    model = ViT(replace(PLAIN, stem=ResNetStem((1, 1), 16)))
    found = weights.components(model)
    assert (found.figures.layer, found.figures.count, found.figures.size) == ("root of the ResNet", 16, (7, 7))
    assert found.patterns.shape == (15, 7, 7, 3), "16 filters around their mean span 15 directions"


@pytest.mark.parametrize("positions", ["1d", "2d", "sincos"])
def test_similarity_is_the_cosine_between_what_is_added_to_two_patches(positions: str) -> None:
    torch.manual_seed(0)
    model = ViT(replace(PLAIN, positions=positions, registers=2))
    found = weights.positions(model)
    added = model.positions()
    assert added is not None
    a, b = added[0, 1].double(), added[0, 5].double()
    expected = float(a @ b / (a.norm() * b.norm()))
    assert found.tiles.shape == (6, 2, 3)
    assert found.tiles[1, 1, 2] == pytest.approx(expected, abs=1e-6) and found.tiles[5, 0, 1] == pytest.approx(expected, abs=1e-6)
    assert [found.tiles[n].flat[n] for n in range(6)] == pytest.approx([1] * 6)
    assert found.figures.figure == "cosine similarity" and np.shape(found.figures.by_offset) == (3, 5)
    assert found.figures.by_offset[1][2] == pytest.approx(1)


def test_offsets_are_averaged_over_all_pairs() -> None:
    """A tile that holds the number of the patch that is looked at: by hand for a grid of 1 x 3."""
    tiles = np.broadcast_to(np.arange(3.0), (3, 1, 3))
    assert weights.by_offset(tiles).tolist() == [[0, 0.5, 1, 1.5, 2]]


def test_sines_are_alike_by_offset_alone() -> None:
    """Of fixed sines, every pair of the same offset is equally alike: the mean is each of them."""
    tiles = weights.similarity(sines((3, 4), 16)[0].double()).reshape(-1, 3, 4).numpy()
    table = weights.by_offset(tiles)
    assert tiles[0, 1, 2] == pytest.approx(table[2 + 1, 3 + 2]) and tiles[11, 1, 1] == pytest.approx(table[2 - 1, 3 - 2])


def test_norms_of_relative_positions_lie_where_one_looks() -> None:
    """The vector with which a patch looks at the one to its right, in the second layer alone."""
    model = ViT(replace(PLAIN, positions="relative"))
    for block in model.blocks:
        block.attn.relative.table.data.zero_()
    relative = model.blocks[1].attn.relative
    relative.table.data[relative.index[model.config.prefix, model.config.prefix + 1]] = 3.0
    found = weights.positions(model)
    assert found.tiles.shape == (2, 3, 5) and found.figures.figure == "norm"
    assert found.tiles[1, 1, 3] == pytest.approx(3 * 8**0.5) and np.count_nonzero(found.tiles) == 1
    assert found.figures.by_offset[1][3] == pytest.approx(1.5 * 8**0.5)


def test_no_positions_are_none() -> None:
    found = weights.positions(ViT(replace(PLAIN, positions="none")))
    assert (found.figures.kind, found.figures.figure, found.figures.by_offset) == ("none", "", ())
