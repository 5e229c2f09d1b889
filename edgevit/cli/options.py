"""The options that several commands share, and how their text is read."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from edgevit.errors import BadInput
from edgevit.types import Size

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="digits (built in), hf:NAME, or a path: a folder per class, shards, a CIFAR archive, idx files, .npz, .csv, .jsonl. "
        "Default: that of the checkpoint.",
    ),
]
OnBad = Annotated[
    str, typer.Option("--on-bad-image", help="refuse: stop at an unreadable image and name it. skip: go on without it.")
]
Split = Annotated[
    str,
    typer.Option("--split", help="held-out, train, test or all. Default: what was not trained on, all of it for other data."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there, once the new one is whole.")]

Calibrate = Annotated[
    str | None,
    typer.Option("--calibrate", help="Images that recipes may look at. Default: those that the checkpoint was trained on."),
]
CalibrationImages = Annotated[int, typer.Option("--calibration-images", min=1, help="At most so many of them.")]

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Most artifacts made at once. Default: as many as cores and memory hold."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Do every stage anew, and keep nothing for the next time.")]


Recipes = Annotated[
    list[str], typer.Option("--recipe", help="What edgevit recipes lists, a FILE.toml of your own, or all; may be repeated.")
]
KeepPatches = Annotated[
    list[float],
    typer.Option("--keep-patches", help="Share of the patches that are left after merging, 0.25 to 1; may be repeated."),
]
Inputs = Annotated[
    list[str],
    typer.Option("--input", help="tensor: the app normalises, logits come out. pixels: uint8 in, probabilities out."),
]
Runtimes = Annotated[
    list[str],
    typer.Option(
        "--runtimes",
        help="Runtimes in which it must be right too, or all; may be repeated. The others are run and told all the same.",
    ),
]


def size(text: str | None) -> Size | None:
    """Pixels: 224 for a square, 192x256 for height x width. Raises BadInput."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(re.fullmatch("[0-9]{1,4}", side) and 8 <= int(side) <= 4096 for side in sides):
        raise BadInput(f"not an image size: {text[:40]}", "give pixels between 8 and 4096: 224, or 192x256 for height x width")
    return int(sides[0]), int(sides[-1])


def duration(text: str) -> float:
    """Seconds of 90s, 10m or 1h. Raises BadInput."""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)(s|m|h|)", text.strip())
    if not found:
        raise BadInput(f"not a time: {text}", "as 90s, 10m or 1h")
    return float(found[1]) * {"h": 3600, "m": 60}.get(found[2], 1)


def cores(text: str | None) -> tuple[int, ...]:
    """The numbers of 4-7 or 0,2. Raises BadInput."""
    found: list[int] = []
    for part in text.split(",") if text else ():
        ends = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if not ends or int(ends[2] or ends[1]) < int(ends[1]):
            raise BadInput(f"no cores: {text}", "as 4-7, or 0,2")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return tuple(dict.fromkeys(found))
