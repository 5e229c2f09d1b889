"""Checkpoint and recipe to file: one file per back end, imported when used, each with `convert`.

The file of a converter is called as the converter, with _ for -.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from edgevit.types import Exported, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from converters.order import Order
    from converters.rewrite.stages import Stages
    from edgevit.vit.model import ViT


def convert(converter: str, order: Order, into: Path, progress: Progress) -> Exported:
    """Write what is ordered into the folder `into` by the named converter."""
    found: Exported = file(converter).convert(order, into, progress)
    return found


def stages(converter: str, model: ViT, images: Tensor) -> Stages:
    """What the named converter writes `model` from, rewritten and quantized, stage by stage; `images` prove its rewrites."""
    from converters.rewrite.rewriting import rewritten
    from converters.rewrite.stages import Stages

    return Stages(rewritten(model, file(converter).REWRITES, images)[0])


def show(converter: str, order: Order, into: Path, progress: Progress) -> Path | None:
    """A file like that of `convert` that gives what is behind every stage besides; None where the converter writes none."""
    write = getattr(file(converter), "show", None)
    return write(order, into, progress) if write else None


def file(converter: str) -> ModuleType:
    """The module of the converter of that name."""
    return importlib.import_module(f"converters.{converter.replace('-', '_')}")
