"""What the user says of a weight file, where the file cannot say it or says it wrong. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edgevit.errors import BadInput
from edgevit.types import Size
from edgevit.types.model import INTERPOLATIONS

Channels = tuple[float, float, float]

SIDES = 1 << 14
"""Most pixels along a side that may be asked for, or that a config may say."""
MOST_HEADS = 1024


@dataclass(frozen=True)
class Resize:
    """`size` (height, width) with aspect `keep` (the image just covers it) or `squash` (it becomes exactly that)."""

    size: Size
    aspect: str


@dataclass(frozen=True)
class Asked:
    """The options of `edgevit import`; None where the user did not say."""

    mean: Channels | None = None
    std: Channels | None = None
    resize: Resize | None = None
    interpolation: str | None = None
    labels: Path | None = None
    image_size: Size | None = None
    model: str | None = None
    heads: int | None = None
    """Of the attention, which few files say."""
    positions: str | None = None
    """`none` or `sincos`, for a file that holds no position embeddings."""
    headless: bool = False
    """Whether the head is left off, so that an encoder to train from remains."""


EXAMPLES = {
    "mean": "--mean 0.485,0.456,0.406",
    "std": "--std 0.229,0.224,0.225",
    "resize": "--resize 256",
    "interpolation": "--interpolation bicubic",
    "labels": "--labels classes.csv (or --headless, for an encoder to train from)",
    "image size": "--image-size 224",
    "heads": "--heads 12 (or --model B/16)",
    "positions": "--positions sincos",
}
"""How each thing that a file may not say is said, by its name."""


def channels(option: str, text: str | None) -> Channels | None:
    """`0.485,0.456,0.406`, or one value for all channels. Raises BadInput."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        raise BadInput(f"{option} takes one number or three: {text}", f"for example {option} 0.5, or {option} 0.485,0.456,0.406")
    red, green, blue = values if len(values) == 3 else values * 3
    return red, green, blue


def size(option: str, text: str | None) -> Size | None:
    """`224` for a square, or `192x256` (height x width). Raises BadInput."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() and len(p) < 7 and 0 < int(p) <= SIDES for p in parts):
        raise BadInput(f"{option} takes pixels, N or HEIGHTxWIDTH: {text}", f"for example {option} 224, or {option} 192x256")
    return int(parts[0]), int(parts[-1])


def resize(text: str | None) -> Resize | None:
    """`256`: the short side becomes that long. `256x256`: the image becomes exactly that, whatever its shape."""
    found = size("--resize", text)
    if found is None or text is None:
        return None
    return Resize(found, "squash" if "x" in text.lower() else "keep")


def interpolation(text: str | None) -> str | None:
    if text is not None and text not in INTERPOLATIONS:
        raise BadInput(f"unknown interpolation: {text}", f"known: {', '.join(INTERPOLATIONS)}")
    return text


def heads(count: int | None) -> int | None:
    if count is not None and not 1 <= count <= MOST_HEADS:
        raise BadInput(f"--heads is 1 to {MOST_HEADS}: {count}", "for example --heads 12")
    return count


def positions(text: str | None) -> str | None:
    if text not in (None, "none", "sincos"):
        raise BadInput(f"unknown positions for a file that holds none: {text}", "known: none, sincos")
    return text
