"""Core ML for iOS 16; run, or evaluated, as target coreml is. By name only: it is target coreml in older operators."""

from __future__ import annotations

import dataclasses

from targets import coreml
from targets.coreml import RUNTIMES, described, load, load_in, too_large, trace

__all__ = ["RUNTIMES", "TARGET", "described", "load", "load_in", "too_large", "trace"]

TARGET = dataclasses.replace(
    coreml.TARGET,
    name="coreml-ios16",
    summary="Core ML mlprogram for iOS 16, macOS 13 and later; all but fp32 computes in float16",
    converter="coreml_ios16",
    by_name_only="it holds what coreml holds, for iOS 16 and macOS 13",
)
