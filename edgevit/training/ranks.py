"""Which of several workers this process is, as torchrun says by the environment. Needs no torch."""

from __future__ import annotations

import os

from edgevit.errors import BadInput


def rank() -> int:
    """0 where there is one worker, or for the first of several: the one that writes and speaks."""
    return _number("RANK", 0)


def count() -> int:
    return _number("WORLD_SIZE", 1)


def local() -> int:
    """The number of this worker on its machine."""
    return _number("LOCAL_RANK", rank())


def restarts() -> int:
    """How often torchrun has started all workers anew, since one of them had died."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def _number(name: str, default: int) -> int:
    said = os.environ.get(name, str(default))
    if not said.isdecimal():
        raise BadInput(f"the environment's {name} is no number: {said[:40]}", "torchrun sets it; without torchrun, unset it")
    return int(said)
