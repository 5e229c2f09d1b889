"""Core ML in the layout of the Neural Engine; run, or evaluated, as target coreml is, and held to the rules of `mil.ane`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgevit.types import Delegation
from targets import coreml
from targets.coreml import RUNTIMES, described, load, load_in, too_large, trace

__all__ = ["RUNTIMES", "TARGET", "delegation", "described", "load", "load_in", "too_large", "trace"]

TARGET = dataclasses.replace(
    coreml.TARGET,
    name="coreml-ane",
    summary="Core ML mlprogram for iOS 17, macOS 14 and later, in the layout of Apple's Neural Engine, which computes in float16",
    converter="coreml_ane",
    seconds=(27.0, 36.0),
    recipes={name: tolerance for name, tolerance in coreml.TARGET.recipes.items() if name != "fp32"},
    max_outside=0,
    pixels_outside=5,  # at the ends: scale and bias of pixels, softmax and its reshape, labels
    merges=False,
)


def delegation(file: Path) -> Delegation:
    """How much of the package at `file` the Neural Engine would take, by rules."""
    from targets.mil import ane

    return ane.delegation(file)
