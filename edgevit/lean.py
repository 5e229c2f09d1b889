"""Imports without the parts that a library would load besides, for seconds and nothing."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

COREML_EXTRAS = ("tensorflow", "executorch", "sklearn", "xgboost", "libsvm")
"""What coremltools loads where it is installed, for front ends that are not used here: 4 s without, up to 17 s with them."""


@contextlib.contextmanager
def without(*modules: str) -> Iterator[None]:
    """While it lasts, `modules` that are not yet imported count as absent, and warnings about versions are not logged."""
    hidden = [name for name in modules if name not in sys.modules]
    level = logging.root.manager.disable
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
        for name in hidden:  # somebody else in this process may want them later
            del sys.modules[name]
