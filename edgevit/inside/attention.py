"""Where a model looks: attention rollout, and the mean attention distance of each head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from edgevit.types import Progress, Size, ViTConfig, silent
from edgevit.vit.model import Block, ViT

MEMORY = 256 << 20
"""Bytes that the attention of one layer may take at once."""


@dataclass(frozen=True)
class Rollout:
    """`patches` (N, rows, columns) of sum 1: where the answer to each image was drawn from. `elsewhere` (N): the share, left out

    of it, that class, distillation and register tokens kept.
    """

    patches: np.ndarray
    elsewhere: np.ndarray


def by_layer(model: ViT, images: Tensor) -> Iterator[Tensor]:
    """The attention (N, heads, T, T) of each block to normalised images (N, 3, H, W), from the first to the last.

    No patches are merged on the way.
    """
    x = model.embed(model.patch_embed(images))
    for block in cast("Iterable[Block]", model.blocks):
        yield block.attn.weights(block.norm1(x))
        x = block(x)


def rolled(layers: Iterable[Tensor]) -> Tensor:
    """Attention rollout (Abnar and Zuidema, arXiv 2005.00928): how much of each token (column) has come to each (row).

    From (N, heads, T, T) of each layer to (N, T, T): the mean over heads, plus the identity for the residual connection, its rows
    brought back to sum 1, multiplied layer upon layer (paper, appendix D.8).
    """
    joined = None
    for weights in layers:
        mean = weights.mean(1)
        step = mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
        step = step / step.sum(-1, keepdim=True)
        joined = step if joined is None else step @ joined
    assert joined is not None
    return joined


def read_by_head(joined: Tensor, config: ViTConfig) -> Tensor:
    """The rollout (N, T, T) of what the head reads (N, T): the class token, with DeiT's beside it, or the mean of the patches."""
    rows = joined[:, : config.class_tokens] if config.class_tokens else joined[:, config.prefix :]
    return rows.mean(1)


def rollout(model: ViT, images: np.ndarray) -> Rollout:
    """Of normalised images (N, 3, H, W) float32, one after the other."""
    config = model.config
    with torch.inference_mode():
        read = torch.cat([read_by_head(rolled(by_layer(model, one[None])), config) for one in torch.from_numpy(images)])
    patches = read[:, config.prefix :].double()
    share = patches.sum(1, keepdim=True)
    return Rollout((patches / share).reshape(-1, *config.grid).numpy(), (1 - share[:, 0]).clamp(min=0).numpy())


def between(grid: Size, patch: int) -> Tensor:
    """(patches, patches): pixels between the middles of two patches."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1) * patch
    return (places[:, None] - places).square().sum(-1).sqrt()


def mean_distance(weights: Tensor, config: ViTConfig) -> Tensor:
    """Attention (N, heads, T, T) to the pixels between the patch that looks and those it looks at: (heads).

    Weighted by the attention, and averaged over patches and images (paper, figure 7 right). Tokens that have no place in the
    image are left out, and what a patch looks at beside them is brought back to sum 1.
    """
    among = weights[..., config.prefix :, config.prefix :]
    looked = among / among.sum(-1, keepdim=True).clamp(min=1e-12)
    return (looked * between(config.grid, config.patch).to(looked)).sum(-1).mean((0, 2))


def even_distance(config: ViTConfig) -> float:
    """Pixels, of attention spread evenly over all patches."""
    return float(between(config.grid, config.patch).mean())


def distances(model: ViT, images: np.ndarray, progress: Progress = silent) -> np.ndarray:
    """Mean attention distance (depth, heads) in pixels over normalised images (N, 3, H, W) float32."""
    config, n = model.config, len(images)
    total = torch.zeros(config.depth, config.heads, dtype=torch.float64)
    size = max(1, MEMORY // (4 * config.heads * config.tokens**2))
    with torch.inference_mode():
        for start in range(0, n, size):
            batch = torch.from_numpy(images[start : start + size])
            total += len(batch) * torch.stack([mean_distance(layer, config) for layer in by_layer(model, batch)])
            progress("attention distance", start + len(batch), n)
    return (total / n).numpy()
