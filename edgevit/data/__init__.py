"""Sources of labelled images. One file per source; each says what it recognises and opens it."""

from __future__ import annotations

import importlib
from pathlib import Path

from edgevit.data.dataset import Dataset
from edgevit.errors import BadInput, UnknownName

SOURCES = ("digits", "idx", "folder")
"""In the order in which they are asked: the most particular first."""

BUILT_IN = ("digits",)


def open_source(spec: str, seed: int = 0, held_out: float = 0.2) -> Dataset:
    """The data that `spec` means: a built-in name or a path.

    Where the source has no held-out split of its own, `held_out` of each class (a fraction) is set aside, chosen by `seed`.
    Raises BadInput for a missing or empty source, UnknownName for what is neither a name nor a path.
    """
    for name in SOURCES:
        source = importlib.import_module(f"edgevit.data.{name}")
        if source.recognises(spec):
            return source.open_source(spec, seed, held_out)
    if Path(spec).exists():
        raise BadInput(f"no data source reads this: {spec}", "give a folder with one folder per class, or with idx files")
    if "/" in spec or "." in spec:
        raise BadInput(f"no such data folder: {spec}")
    raise UnknownName("data source", spec, BUILT_IN)
