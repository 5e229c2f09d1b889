"""Checkpoint and recipe to file: one file per back end, imported when used, each with `convert`.

The file of a converter is called as the converter, with _ for -.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from edgevit.types import Exported, Progress, QuantRecipe

if TYPE_CHECKING:
    from torch import Tensor

    from converters.rewrite.stages import Stages
    from edgevit.vit.model import ViT


def convert(
    converter: str,
    model: ViT,
    recipe: QuantRecipe,
    images: Tensor,
    into: Path,
    progress: Progress,
    seen: Tensor | None = None,
) -> Exported:
    """Write `model`, quantized as `recipe` says, into the folder `into` by the named converter.

    The file computes images (1, 3, S, S) float32 to logits (1, classes). Real `images` (n, 3, S, S) prove its rewrites; `seen`,
    which were calibrated on, give ranges to a converter that asks for them.
    """
    module = file(converter)
    asked = {"seen": seen} if "seen" in inspect.signature(module.convert).parameters else {}
    found: Exported = module.convert(model, recipe, images, into, progress, **asked)
    return found


def stages(converter: str, model: ViT, images: Tensor) -> Stages:
    """What the named converter writes `model` from, rewritten and quantized, stage by stage; `images` prove its rewrites."""
    from converters.rewrite.rewriting import rewritten
    from converters.rewrite.stages import Stages

    return Stages(rewritten(model, file(converter).REWRITES, images)[0])


def show(converter: str, model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress) -> Path | None:
    """A file like that of `convert` that gives what is behind every stage besides; None where the converter writes none."""
    write = getattr(file(converter), "show", None)
    return write(model, recipe, images, into, progress) if write else None


def file(converter: str) -> ModuleType:
    """The module of the converter of that name."""
    return importlib.import_module(f"converters.{converter.replace('-', '_')}")
