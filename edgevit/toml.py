"""A TOML file that a user wrote: what it says, or one error that says why it says nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from edgevit.errors import BadInput

LARGEST = 1 << 20
"""Bytes; nobody writes as much by hand, and a hostile file may."""


def read(path: Path, what: str, hint: str) -> dict[str, Any]:
    """The tables of the file, which is to be a `what`. Raises BadInput, with `hint` where there is no such file."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadInput(f"{path}: too large for a {what}")
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"no such {what}: {path}", hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path}: no TOML ({error})"[:300]) from error
