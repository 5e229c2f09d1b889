"""What Python runs at its start where this folder is on PYTHONPATH: a target `null` that needs no back end, and mishaps on order.

EDGEVIT_TEST_ABSENT   packages, separated by commas, that are found nowhere, as if they were not installed
EDGEVIT_TEST_SUBGRAPHS  into how many pieces the target `null` cuts a model
EDGEVIT_TEST_MISHAP   "module:function:n:what", separated by semicolons: what happens in the n-th call of a function in a process.
                      `abort` and `import-error` speak for themselves, `pause` writes the process number to the file that
                      EDGEVIT_TEST_PAUSED names and waits for a signal. The function `import` is the import of the module.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
OURS = ("converters.null", "targets.null")
ABSENT = tuple(filter(None, os.environ.get("EDGEVIT_TEST_ABSENT", "").split(",")))
MISHAPS = [order.split(":") for order in os.environ.get("EDGEVIT_TEST_MISHAP", "").split(";") if order]


def _happen(what: str) -> None:
    if what == "abort":
        os.abort()
    if what == "import-error":
        raise ImportError("libsabotage.so: cannot open shared object file")
    flag = Path(os.environ["EDGEVIT_TEST_PAUSED"])
    flag.with_suffix(".new").write_text(str(os.getpid()))
    os.replace(flag.with_suffix(".new"), flag)
    while True:
        time.sleep(3600)


def _wrapped(function: Callable[..., Any], nth: int, what: str) -> Callable[..., Any]:
    calls = itertools.count(1)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == nth:
            _happen(what)
        return function(*args, **kwargs)

    return wrapper


def _changed(module: ModuleType) -> None:
    """What becomes of a module after it ran."""
    if module.__name__ == "targets":
        module.NAMES = (*module.NAMES, "null")
    for name, function, nth, what in MISHAPS:
        if name == module.__name__:
            setattr(module, function, _wrapped(getattr(module, function), int(nth), what))


class _Saboteur:
    """Stands before all finders."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        for module, function, _, what in MISHAPS:
            if name == module and function == "import":
                _happen(what)
        if name in OURS:
            return _with_changes(importlib.util.spec_from_file_location(name, HERE / f"{name.replace('.', '_')}.py"))
        if name == "targets" or name in {module for module, *_ in MISHAPS}:
            others = (finder for finder in sys.meta_path if finder is not self)
            return _with_changes(next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None))
        return None


def _with_changes(spec: importlib.machinery.ModuleSpec | None) -> importlib.machinery.ModuleSpec | None:
    if spec and spec.loader:
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _changed(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
    return spec


if ABSENT:
    _find = importlib.machinery.PathFinder.find_spec

    def _find_unless_absent(name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in ABSENT else _find(name, path, target)

    importlib.machinery.PathFinder.find_spec = staticmethod(_find_unless_absent)  # type: ignore[method-assign,assignment]

sys.meta_path.insert(0, _Saboteur())  # type: ignore[arg-type]
