"""Core ML (mlprogram, iOS 18): attention stays one operator, `scaled_dot_product_attention`.

No rewrite may give it a scale of its own: coremltools then takes the operator apart (apple/coremltools#2864).
"""

from __future__ import annotations

from pathlib import Path

from converters import coreml, mlprogram
from converters.order import Order
from edgevit.types import Exported, Progress

REWRITES = coreml.REWRITES


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    return mlprogram.convert(order, into, progress, REWRITES, "iOS18")
