"""A model of ours under the names of others: what their files then hold, and what they cannot say."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgevit.errors import BadInput
from edgevit.vit.model import ViT


@dataclass(frozen=True)
class Written:
    """Tensors by their names, JSON files by name, and in words what their code will do otherwise than ours."""

    tensors: dict[str, Tensor]
    files: dict[str, object]
    notes: tuple[str, ...]


def table(model: ViT) -> Tensor:
    """One learned table (1, prefix + patches, width) that adds what our positions add: zeros where they add nothing.

    Raises BadInput for relative positions, which are in the attention.
    """
    config = model.config
    if config.positions == "relative":
        raise BadInput("relative positions have no name in their model", "learned, 2-D and sin-cos positions can be written")
    zeros = torch.zeros(1, config.prefix, config.width)
    if config.positions == "1d":
        zeros[:, : config.class_tokens] = model.pos_embed[:, : config.class_tokens]
    positions = model.positions()
    patches = torch.zeros(1, config.patches, config.width) if positions is None else positions
    return torch.cat([zeros, patches], 1).detach()


def position_notes(model: ViT) -> list[str]:
    kind = model.config.positions
    return [] if kind == "1d" else [f"{kind} positions are written as a table, and read back as learned ones"]


def refuse(wrong: dict[str, bool], whose: str) -> None:
    """Raise BadInput for the first thing that holds, and that `whose` models do not have."""
    for what, holds in wrong.items():
        if holds:
            raise BadInput(f"{whose} models have no {what}", "the other --format may have it")
