"""What a run of a road is told besides the road."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from edgevit.cache import Cache
from edgevit.types import Progress


@dataclass(frozen=True)
class How:
    """`say` gets a line for the person who watches; with `force_bench` all is measured anew; `jobs` artifacts at once."""

    command: str
    cache: Cache | None
    progress: Progress
    say: Callable[[str], None]
    force_bench: bool = False
    jobs: int | None = None


def now() -> str:
    """This second, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
