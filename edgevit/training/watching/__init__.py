"""Who follows a training. Each watcher is one file, called as in `types.WATCHERS`, with `watcher(run, known, keep)`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

from edgevit.errors import NotInstalled
from edgevit.training.watching.watcher import Watcher

EXTRAS = {"wandb": "Weights & Biases", "mlflow": "MLflow"}
"""Watchers whose library has to be installed: each by the extra of its name."""


def require(names: Iterable[str]) -> None:
    """Raise NotInstalled where the library of a watcher is not there: better before a training than in it."""
    for name in names:
        found = importlib.util.find_spec(name) if name in EXTRAS else None
        if name in EXTRAS and (found is None or found.origin is None):  # a folder of that name is no library
            raise _missing(name)


def load(name: str, run: Path, known: str, keep: Callable[[str], None]) -> Watcher:
    """The watcher of this name, its library imported. Raises NotInstalled where that cannot be."""
    module = importlib.import_module(f"edgevit.training.watching.{name}")
    try:
        found: Watcher = module.watcher(run, known, keep)
    except ImportError as error:
        raise _missing(name, f" ({error})") from error
    return found


def _missing(name: str, why: str = "") -> NotInstalled:
    said = f"--watch {name} needs {EXTRAS.get(name, name)}, which cannot be loaded{why}" if why else ""
    return NotInstalled(
        said or f"--watch {name} needs {EXTRAS[name]}, which is not installed",
        f"pip install 'edgevit[{name}]', or leave {name} out of --watch" if name in EXTRAS else "leave it out of --watch",
    )
