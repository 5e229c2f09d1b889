"""The command line that trains with given settings."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from edgevit.types import TrainConfig, option_name
from edgevit.vit.config import shown

NO_OPTION = ("dev", "tried", "objective")
"""Fields that no option sets."""
NEGATED = ("mirror",)
"""Those that an option can also switch off; others are off where nothing is said."""


def command(train: TrainConfig, out: Path) -> str:
    """All that is not as it is when nothing is said; numbers whole, so that the same comes out."""
    words = ["edgevit", "train"]
    for field in dataclasses.fields(train):
        value = getattr(train, field.name)
        if field.name not in NO_OPTION and (field.default is dataclasses.MISSING or value != field.default):
            words += _option(field.name, value)
    return shlex.join([*words, "--out", str(out)])


def _option(name: str, value: object) -> list[str]:
    option = f"--{option_name(name)}"
    if isinstance(value, bool):
        off = [f"--no-{option_name(name)}"] if name in NEGATED else []
        return [option] if value else off
    if isinstance(value, tuple):
        return [option, shown(value)]
    return [option, repr(value) if isinstance(value, float) else str(value)]
