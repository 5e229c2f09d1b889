"""Checkpoint and recipe to file: one file per back end, imported when used, each with `convert`.

The file of a converter is called as the converter, with _ for -.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from edgevit.types import Exported, Island, Progress, QuantRecipe

if TYPE_CHECKING:
    from torch import Tensor

    from edgevit.vit.model import ViT


def convert(
    converter: str,
    model: ViT,
    recipe: QuantRecipe,
    images: Tensor,
    into: Path,
    progress: Progress,
    seen: Tensor | None = None,
    islands: tuple[Island, ...] = (),
) -> Exported:
    """Write `model`, quantized as `recipe` says, into the folder `into` by the named converter.

    The file computes images (1, 3, S, S) float32 to logits (1, classes). Real `images` (n, 3, S, S) prove its rewrites; `seen`,
    which were calibrated on, give ranges to a converter that asks for them, and `islands` are kept in float32 by one that can.
    """
    module = file(converter)
    taken = inspect.signature(module.convert).parameters
    asked = {name: value for name, value in {"seen": seen, "islands": islands}.items() if name in taken}
    found: Exported = module.convert(model, recipe, images, into, progress, **asked)
    return found


def file(converter: str) -> ModuleType:
    """The module of the converter of that name."""
    return importlib.import_module(f"converters.{converter.replace('-', '_')}")
