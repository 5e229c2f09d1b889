"""Parts of a library that are not wanted stay unimported for a while, and importable afterwards."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from edgevit.lean import COREML_EXTRAS, without


def test_hidden_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sqlite3", raising=False)
    with without("sqlite3"), pytest.raises(ImportError):
        import sqlite3
    import sqlite3

    assert sqlite3.__name__ in sys.modules


def test_what_is_there_already_stays() -> None:
    with without("json"):
        import json as again
    assert again is json


def test_warnings_are_heard_again() -> None:
    with pytest.raises(ZeroDivisionError), without():
        assert not logging.getLogger("x").isEnabledFor(logging.WARNING)
        1 / 0  # noqa: B018
    assert logging.getLogger("x").isEnabledFor(logging.WARNING)


def test_the_evaluator_loads_none_of_the_extras() -> None:
    pytest.importorskip("coremltools")
    program = "import json, sys, targets.mil.library; print(json.dumps([m for m, v in sys.modules.items() if v]))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(COREML_EXTRAS) & set(json.loads(found.stdout.splitlines()[-1]))
