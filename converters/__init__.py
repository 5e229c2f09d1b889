"""Checkpoint and recipe to file: one file per back end, imported when used, each with `convert`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.types import Delegation, Progress, QuantRecipe

if TYPE_CHECKING:
    from edgevit.vit.model import ViT


@dataclass(frozen=True)
class Converted:
    """The name of the model file that a converter wrote, and how much of it the back end takes."""

    file: str
    delegation: Delegation


def convert(converter: str, model: ViT, recipe: QuantRecipe, into: Path, progress: Progress) -> Converted:
    """Write `model`, quantized as `recipe` says, into the folder `into` by the named converter.

    The file computes images (1, 3, S, S) float32 to logits (1, classes).
    """
    found: Converted = importlib.import_module(f"converters.{converter}").convert(model, recipe, into, progress)
    return found
