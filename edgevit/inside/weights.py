"""What the weights alone show: the filters that see the image, and the embeddings that say where a patch is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgevit.types import Filters, Positions, ViTConfig
from edgevit.vit.model import ViT
from edgevit.vit.positions import RELATIVE_REST
from edgevit.vit.stem import standardised

COMPONENTS = 28
"""As many as the paper's figure 7 shows."""


@dataclass(frozen=True)
class Components:
    """`patterns` (n, height, width, 3), each of length 1, by the `shares` of the filters' variance in `figures`."""

    figures: Filters
    patterns: np.ndarray


def components(model: ViT, most: int = COMPONENTS) -> Components:
    """Principal components of the RGB filters that see the image: the patch embedding's, or in a hybrid those of its root."""
    stem = model.config.stem
    layer = "root of the ResNet" if stem else "patch embedding"
    weight = standardised(model.get_parameter("patch_embed.backbone.stem.conv.weight")) if stem else model.patch_embed.proj.weight
    patterns, shares = principal(weight.detach().flatten(1).double().numpy(), most)
    _, channels, height, width = weight.shape
    pictures = patterns.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    return Components(Filters(layer, len(weight), (height, width), tuple(shares.tolist())), pictures)


def principal(rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` principal components (n, values) of `rows` (count, values), and the share of the variance of each (n).

    A component has no sign of its own: its largest value is made positive. Rows that are all alike have none.
    """
    _, lengths, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    kept = int(min(most, (lengths > 1e-9 * max(1.0, float(np.abs(rows).max()))).sum()))
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    return (directions * np.sign(largest))[:kept], (lengths**2 / max(float((lengths**2).sum()), 1e-300))[:kept]


@dataclass(frozen=True)
class PositionTiles:
    """What `figures` sums up: (n, height, width). Cosine similarity has one tile for each patch, norms one for each layer."""

    figures: Positions
    tiles: np.ndarray


def positions(model: ViT) -> PositionTiles:
    """Cosine similarity of the position embeddings of any two patches (paper, figure 7 centre); for relative positions, the norm

    of the vector of every offset in each layer.
    """
    config = model.config
    if config.positions == "relative":
        tables = [model.get_parameter(f"blocks.{layer}.attn.relative.table") for layer in range(config.depth)]
        norms = torch.stack([_norms(table, config) for table in tables]).numpy()
        return PositionTiles(Positions(config.positions, "norm", _table(norms.mean(0))), norms)
    added = model.positions()
    if added is None:
        return PositionTiles(Positions(config.positions), np.zeros((0, *config.grid)))
    tiles = similarity(added[0].detach().double()).reshape(-1, *config.grid).numpy()
    return PositionTiles(Positions(config.positions, "cosine similarity", _table(by_offset(tiles))), tiles)


def similarity(embeddings: Tensor) -> Tensor:
    """Cosine similarity (P, P) of embeddings (P, width); one of zeros is like none."""
    unit = embeddings / embeddings.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return unit @ unit.T


def by_offset(tiles: np.ndarray) -> np.ndarray:
    """(P, height, width), a tile for each patch, to (2 height - 1, 2 width - 1): the mean over all pairs of the same offset."""
    _, height, width = tiles.shape
    total, count = np.zeros((2, 2 * height - 1, 2 * width - 1))
    for patch, tile in enumerate(tiles):
        row, column = divmod(patch, width)
        place = np.s_[height - 1 - row : 2 * height - 1 - row, width - 1 - column : 2 * width - 1 - column]
        total[place] += tile
        count[place] += 1
    return total / count


def _norms(table: Tensor, config: ViTConfig) -> Tensor:
    """The length of the vector of every offset (2 rows - 1, 2 columns - 1), without those of the tokens that have no place.

    The table counts the offset from the patch that is looked at to the one that asks; turned round, it is where one looks.
    """
    height, width = config.grid
    lengths = table.detach()[:-RELATIVE_REST].double().norm(dim=1)
    return lengths.reshape(2 * height - 1, 2 * width - 1).flip(0, 1)


def _table(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())
