"""What looking inside a checkpoint shows: its filters, its positions, where it looks, and the pictures of it all."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.types.model import Size

Table = tuple[tuple[float, ...], ...]
"""Rows of figures."""


@dataclass(frozen=True)
class Attended:
    """One image: the likeliest classes, best first, and by attention rollout the patches that the answer was drawn from.

    `rollout` (rows x columns of patches) sums to 1. `elsewhere` is the share, left out of it, that class, distillation and
    register tokens kept. `labels` is empty where the model has no head yet.
    """

    image: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    rollout: Table
    elsewhere: float


@dataclass(frozen=True)
class Filters:
    """Principal components of the `count` filters of `size` pixels that see the image, as `shares` of their variance."""

    layer: str
    count: int
    size: Size
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Positions:
    """What the positions of two patches have to do with each other, by the offset between them, down and across.

    `figure` is "cosine similarity" of the embeddings, or "norm" of the vectors of `relative` positions, averaged over layers.
    `by_offset` has 2 rows - 1 times 2 columns - 1 entries; the middle is a patch and itself. Without positions it is empty.
    """

    kind: str
    figure: str = ""
    by_offset: Table = ()


@dataclass(frozen=True)
class Distances:
    """Mean attention distance in pixels, by layer and head, over `images` images of `source`.

    `even` is that of attention spread evenly over the patches. Where nothing was measured, `reason` says why.
    """

    pixels: Table
    even: float
    images: int
    source: str
    reason: str = ""


@dataclass(frozen=True)
class Drawn:
    """A picture that was written: the name of its PNG, and in words what one sees."""

    file: str
    title: str
    words: str


@dataclass(frozen=True)
class Inside:
    """All that `edgevit explain` found; `explain.json` is this record. `notes` say what could not be drawn, and why."""

    checkpoint: str
    variant: str
    filters: Filters
    positions: Positions
    distances: Distances
    images: tuple[Attended, ...]
    pictures: tuple[Drawn, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A picture of the report, a PNG or JPEG in a data URI: for `light` and for `dark` paper, and in words what one sees."""

    title: str
    words: str
    light: str
    dark: str


@dataclass(frozen=True)
class Gallery:
    """The pictures of a section of the report. `notes` say what could not be drawn, and why."""

    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
