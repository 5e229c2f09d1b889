"""Where edgevit keeps what it can make or fetch again, and how much of that: folders of this user's, each with a limit.

Whatever lies there may vanish between two looks at it: another process lets go of what was least recently used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgevit import folder
from edgevit.errors import BadInput

STAGES, PIXELS, SHARDS = "stages", "pixels", "shards"
FOLDERS = (STAGES, PIXELS, SHARDS)
"""All that is ever removed lies in these folders of the place: EDGEVIT_CACHE may name a folder that holds other things."""


def place(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where it is: EDGEVIT_CACHE, or `edgevit` in XDG_CACHE_HOME or ~/.cache. None without a home."""
    if own := environment.get("EDGEVIT_CACHE"):
        return Path(own).absolute()
    base = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # a relative one is to be ignored, says the XDG specification
        return Path(base) / "edgevit"
    home = environment.get("HOME", "")
    return Path(home) / ".cache" / "edgevit" if os.path.isabs(home) else None


def limit(name: str, gigabytes: float, environment: Mapping[str, str] = os.environ) -> int:
    """Bytes by the variable `name`, or by default so many `gigabytes`. Raises BadInput."""
    text = environment.get(name) or str(gigabytes)
    try:
        found = float(text)
    except ValueError:
        found = -1
    if not 0 <= found < 1e9:
        raise BadInput(f"not a size in GB: {name}={text[:40]}", "give a number of gigabytes, such as 5")
    return int(found * 1e9)


def own(name: str) -> Path | None:
    """The folder `name` of the place, made where absent; None where there can be none, or where others may write."""
    root = place()
    if root is None:
        return None
    try:
        (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = (root / name).stat()
    except OSError:
        return None
    if owner.st_uid != os.getuid() or owner.st_mode & 0o002 or not os.access(root / name, os.W_OK | os.X_OK):
        return None
    return root / name


def make_room(within: Path, needed: int, most: int, stays: tuple[Path, ...] = ()) -> bool:
    """Remove the least recently used of the folder `within` until `needed` more bytes make at most `most`: whether they do."""
    found = [entry for entry in entries(within) if entry[0] not in stays]
    total = needed + sum(size for *_, size in found)
    for path, _, size in sorted(found, key=lambda entry: entry[1]):
        if total <= most or needed > most:
            break
        remove(path)
        total -= size
    return total <= most


def entries(within: Path) -> list[tuple[Path, float, int]]:
    """Every entry with the time it was last used (seconds since the epoch) and its bytes. Those that vanish meanwhile are not."""
    found = []
    with contextlib.suppress(OSError):
        for path in within.iterdir():
            with contextlib.suppress(OSError):
                found.append((path, path.stat().st_mtime, folder.size(path)))
    return found


def used(path: Path) -> None:
    """Say that an entry is used now."""
    with contextlib.suppress(OSError):
        os.utime(path)


def remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
