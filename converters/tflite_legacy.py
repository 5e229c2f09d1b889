"""TFLite for the runtimes that shipped apps carry: the file of target tflite, with what those compute wrongly in other words."""

from __future__ import annotations

from pathlib import Path

from converters import tflite, whole_scales
from converters.order import Order
from converters.tflite import FILE, REWRITES
from edgevit.types import Exported, Progress

__all__ = ["REWRITES", "convert"]


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    made = tflite.convert(order, into, progress)
    whole_scales.take_out(into / FILE)
    return Exported(FILE, tflite.count_delegation(into / FILE), made.rewrites)
