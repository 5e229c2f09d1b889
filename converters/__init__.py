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
    from converters.order import Order


def convert(converter: str, order: Order, into: Path, progress: Progress) -> Exported:
    """Write what is ordered into the folder `into` by the named converter."""
    found: Exported = file(converter).convert(order, into, progress)
    return found


def file(converter: str) -> ModuleType:
    """The module of the converter of that name."""
    return importlib.import_module(f"converters.{converter.replace('-', '_')}")
