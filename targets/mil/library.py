"""coremltools, imported without TensorFlow (8 s for a front end not used here) and without warnings about versions."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def _quick_and_quiet() -> Iterator[None]:
    absent = "tensorflow" not in sys.modules
    level = logging.root.manager.disable
    if absent:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
        if absent:  # somebody else in this process may want it later
            del sys.modules["tensorflow"]


with _quick_and_quiet():
    from coremltools import proto
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.converters.mil.mil import types

__all__ = ["load", "proto", "types"]
