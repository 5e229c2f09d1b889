"""What of an error's words may be shown and kept: keys and passwords never."""

from __future__ import annotations

import os
import re

NAMES = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
"""Of variables of the environment that hold what nobody else may know."""
SHAPES = (
    (re.compile(r"(?<=://)[^/\s@]+@"), "***@"),
    (re.compile(r"\bwandb_v\d+_\w+|\b[0-9a-fA-F]{40}\b"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"(?i)\b(api[_-]?key|token|password|secret)(\W{1,4})[^\s'\",;&]+"), r"\1\2***"),
)
"""What looks like one: in an address, as Weights & Biases' keys do, in a header, behind a name."""
LONGEST = 240
"""Characters of an error that are told."""
SHORTEST = 6
"""Characters of a secret that is looked for by itself: a shorter one is in any text."""


def scrubbed(text: str) -> str:
    hidden = sorted((v for name, v in os.environ.items() if NAMES.search(name) and len(v) >= SHORTEST), key=len, reverse=True)
    for value in hidden:
        text = text.replace(value, "***")
    for shape, instead in SHAPES:
        text = shape.sub(instead, text)
    return text


def words(error: BaseException) -> str:
    """An error in one line that may be shown."""
    lines = scrubbed(str(error)).strip().splitlines() or ["no message"]
    text = f"{type(error).__name__}: {lines[0]}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
