"""Imports without the parts that a library would load besides, for seconds and nothing."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
from collections.abc import Iterator

COREML_EXTRAS = ("tensorflow", "executorch", "sklearn", "transformers", "xgboost", "libsvm")
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


@contextlib.contextmanager
def with_libusb() -> Iterator[None]:
    """While it lasts, tflite-support can be imported: it wants libusb, for a stick that nobody has, and meets no TensorFlow.

    The two have types of one name, and clash in one process (`cannot initialize type "StatusCode"`), so TensorFlow stays hidden.
    """
    import libusb_package

    sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    path = libusb_package.get_library_path()
    if path:
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    yield
