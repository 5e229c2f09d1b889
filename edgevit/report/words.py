"""How the figures of a report are written: "97.2 %", "0.41 MB", "7.10 ms", "not measured: why"."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

from edgevit.types import Artifact, Input

MINUS = "\N{MINUS SIGN}"
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NOT_FINITE = "not finite"


def recipe(artifact: Artifact) -> str:
    """With the patches that are left of how many, where some are merged; and that pixels go in."""
    merged = [f"{m.patches} of {artifact.config.patches} patches" for m in artifact.merges[-1:] if artifact.config]
    return ", ".join([artifact.recipe, *merged, *(["pixels in"] if artifact.input is Input.PIXELS else [])])


def percent(share: float) -> str:
    """A fraction of 1. What is not all never reads "100.0 %", and what is not nothing never "0.0 %"."""
    if not math.isfinite(share):
        return NOT_FINITE
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def points(change: float) -> str:
    """A difference of two fractions of 1, in percentage points with its sign."""
    if not math.isfinite(change):
        return NOT_FINITE
    rounded = round(100 * change, 2)
    if rounded == 0:
        return "no change" if change == 0 else "< 0.01 points"
    sign = "+" if rounded > 0 else MINUS
    return f"{sign}{abs(rounded):.2f} points"


def size(count: int) -> str:
    """Bytes, in MB of a million, or kB and GB."""
    if count >= 1_000_000_000:
        return f"{_three_digits(count / 1e9)} GB"
    return f"{_three_digits(count / 1e6)} MB" if count >= 10_000 else f"{count / 1e3:.2g} kB"


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def milliseconds(values: Iterable[float | None]) -> str:
    """One or more figures with one unit: "7.10 / 7.52 / 8.03 ms"."""
    return " / ".join("not measured" if value is None else _three_digits(value) for value in values) + " ms"


def relative(error: float) -> str:
    """A relative error of logits, to two digits."""
    if error == 0:
        return "0"
    return f"{error:#.2g}" if math.isfinite(error) else NOT_FINITE


def parameters(count: int) -> str:
    """ "5.72 M (5,717,416)"; a small count stands alone."""
    if count < 10_000:
        return f"{count:,}"
    scale, unit = (1e6, "M") if count >= 1e6 else (1e3, "k")
    return f"{_three_digits(count / scale)} {unit} ({count:,})"


def counted(number: int, noun: str) -> str:
    """ "1 thread", "2 threads", "1,000 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def images_of(split: str) -> str:
    """What the images of a split are called."""
    return {"held-out": "held-out images", "train": "training images", "test": "test images"}.get(split, "images")


def listed(items: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def missing(why: str) -> str:
    """What stands in the place of a figure that there is not."""
    return f"not measured: {plain(why) or 'no reason was recorded'}"


def plain(text: str) -> str:
    """Text from outside, on one line: spaces collapsed, control characters and bidirectional overrides made visible."""
    return "".join(_visible(char) for char in " ".join(text.split()))


def _visible(char: str) -> str:
    """U+FFFD for what could blank, reorder or break the line; joiners stay, since scripts and emoji need them."""
    hidden = unicodedata.category(char) in ("Cc", "Cs") or char in OVERRIDES
    return "\N{REPLACEMENT CHARACTER}" if hidden else char


def _three_digits(value: float) -> str:
    if not math.isfinite(value):
        return NOT_FINITE
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 4}f}"
