"""Core ML with the attention operator of iOS 18; run, or evaluated, as target coreml is."""

from __future__ import annotations

import dataclasses

from targets import coreml
from targets.coreml import RUNTIMES, described, load, load_in, too_large, trace
from targets.tolerances import INT4, WEIGHTS

__all__ = ["RUNTIMES", "TARGET", "described", "load", "load_in", "too_large", "trace"]

TARGET = dataclasses.replace(
    coreml.TARGET,
    name="coreml-ios18",
    summary="Core ML mlprogram for iOS 18, macOS 15 and later: attention is one operator; all but fp32 computes in float16",
    converter="coreml_ios18",
    recipes={**coreml.TARGET.recipes, **{form: WEIGHTS[form] for form in INT4}},
)
