"""Core ML (mlprogram, iOS 16): the operators of that system's version, and weights compressed as it knows them."""

from __future__ import annotations

from pathlib import Path

from converters import coreml, mlprogram
from converters.order import Order
from edgevit.types import Exported, Progress

REWRITES = coreml.REWRITES


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    return mlprogram.convert(order, into, progress, REWRITES, "iOS16")
