"""Positions follow a model to another image size by their place in the image."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from edgevit.types import ViTConfig
from edgevit.vit.config import config
from edgevit.vit.positions import fitted, sines


def _shapes(positions: str, old: tuple[int, int], new: tuple[int, int]) -> tuple[ViTConfig, ViTConfig]:
    shapes = [dataclasses.replace(config("Pico/8", (8 * h, 8 * w), 4), positions=positions) for h, w in (old, new)]
    return shapes[0], shapes[1]


@pytest.mark.parametrize(("old", "new"), [((4, 4), (6, 6)), ((7, 7), (3, 5)), ((2, 5), (4, 3)), ((14, 14), (24, 24))])
def test_learned_positions_as_the_references_interpolate_them(old: tuple[int, int], new: tuple[int, int]) -> None:
    """The formula of transformers and timm: bicubic, middles on middles; the class token's stays."""
    shapes = _shapes("1d", old, new)
    table = torch.randn(1, shapes[0].patches + 1, 64, generator=torch.Generator().manual_seed(0))
    found = fitted({"pos_embed": table}, *shapes)["pos_embed"]
    image = table[:, 1:].reshape(1, *old, 64).permute(0, 3, 1, 2)
    expected = F.interpolate(image, new, mode="bicubic", align_corners=False).permute(0, 2, 3, 1).flatten(1, 2)
    assert torch.equal(found[:, :1], table[:, :1])
    assert torch.allclose(found[:, 1:], expected, atol=1e-5)


def test_a_plane_stays_a_plane() -> None:
    """What grows evenly across the image nearly does so on the new grid (this cubic bends lines a little), by the same places."""
    shapes = _shapes("1d", (8, 8), (12, 12))
    rows = ((torch.arange(8) + 0.5) / 8).repeat_interleave(8)
    table = torch.cat([torch.zeros(1), rows])[None, :, None].expand(-1, -1, 64)
    found = fitted({"pos_embed": table}, *shapes)["pos_embed"][0, 1:, 0].reshape(12, 12)
    inner = slice(2, -2)  # the edge has nothing beyond it to go by
    assert torch.allclose(found[inner, 0], ((torch.arange(12) + 0.5) / 12)[inner], atol=0.01)
    zoomed = ndimage.zoom(rows.reshape(8, 8).numpy(), 1.5, order=1, grid_mode=True, mode="nearest")
    assert np.allclose(found[inner].numpy(), zoomed[inner], atol=0.01)


def test_halves_follow_along_their_own_side() -> None:
    old, new = _shapes("2d", (4, 6), (8, 6))
    rows, columns = torch.randn(1, 4, 32), torch.randn(1, 6, 32)
    found = fitted({"pos_rows": rows, "pos_columns": columns}, old, new)
    expected = F.interpolate(rows.mT[..., None], (8, 1), mode="bicubic", align_corners=False)[..., 0].mT
    assert torch.allclose(found["pos_rows"], expected, atol=1e-5)
    assert torch.allclose(found["pos_columns"], columns, atol=1e-6)


def test_relative_offsets_are_fractions_of_the_image() -> None:
    """An offset of half the image is looked up as half the image, on both grids; what is no offset stays."""
    old, new = _shapes("relative", (4, 4), (8, 8))
    offsets = torch.arange(-3, 4) / 4
    table = torch.cat([offsets.repeat_interleave(7), torch.tensor([7.0, 8.0, 9.0])])[:, None].expand(-1, 32)
    found = fitted({"blocks.0.attn.relative.table": table}, old, new)["blocks.0.attn.relative.table"][:, 0]
    grid = found[:-3].reshape(15, 15)
    inner = slice(4, -4)
    assert torch.allclose(grid[inner, 7], (torch.arange(-7, 8) / 8)[inner], atol=1e-6)
    assert found[-3:].tolist() == [7, 8, 9]


def test_equal_grids_change_nothing() -> None:
    old, _ = _shapes("1d", (4, 4), (4, 4))
    table = {"pos_embed": torch.randn(1, 17, 64)}
    assert fitted(table, old, dataclasses.replace(old, classes=9)) is table


def test_sines_tell_every_place_apart() -> None:
    table = sines((3, 5), 16)[0]
    assert table.shape == (15, 16) and table.abs().max() <= 1
    distances = torch.cdist(table, table) + torch.eye(15)
    assert distances.min() > 0.1
    assert torch.allclose(table[0], torch.tensor([0.0] * 4 + [1.0] * 4).repeat(2))
