"""Sources of labelled images. One file per source; each says what it recognises and opens it."""

from __future__ import annotations

import importlib
from pathlib import Path

from edgevit.data.dataset import Dataset
from edgevit.errors import BadInput, UnknownName

SOURCES = ("digits", "huggingface", "cifar", "npz", "table", "idx", "shards", "folder")
"""In the order in which they are asked: the most particular first."""

BUILT_IN = ("digits",)

HUB = "hf:"
"""Before the name of a data set of the Hugging Face Hub."""

KINDS = (
    "a folder per class, shards or the URL of their index, a CIFAR archive or folder, idx files, an .npz, a .csv or .jsonl, "
    "or a saved Hugging Face data set"
)


def open_source(spec: str, seed: int = 0, held_out: float = 0.2) -> Dataset:
    """The data that `spec` means: a built-in name, `hf:` and a name of the Hugging Face Hub, a URL of shards, or a path.

    Where the source has no held-out split of its own, `held_out` of each class (a fraction) is set aside, chosen by `seed`,
    when train or held-out images are first asked for.
    Raises BadInput for a missing or empty source, UnknownName for what is neither a name nor a path, DamagedFile for a file
    that is cut, altered or hostile, NotInstalled for a source whose library is absent.
    """
    for name in SOURCES:
        source = importlib.import_module(f"edgevit.data.{name}")
        if source.recognises(spec):
            return source.open_source(spec, seed, held_out)
    if Path(spec).exists():
        raise BadInput(f"no data source reads this: {spec}", f"give {KINDS}")
    if "/" in spec or "." in spec:
        raise BadInput(f"no such data: {spec}")
    raise UnknownName("data source", spec, BUILT_IN)


def lasting(spec: str) -> str:
    """A path that leads to the same data from another working directory too; a name as it is.

    Links are followed but for a file's own: what stands in a table is meant from the folder that shows the table.
    """
    path = Path(spec)
    if spec in BUILT_IN or spec.startswith(HUB) or not path.exists():
        return spec
    return str(path.resolve() if path.is_dir() else path.parent.resolve() / path.name)
