"""An artifact and its checkpoint on the same images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Damage:
    """A class of `images` images: those that only the checkpoint answers rightly (`lost`), and only the artifact (`won`)."""

    label: str
    images: int
    lost: int
    won: int


@dataclass(frozen=True)
class Paired:
    """Where the right answers of an artifact and its checkpoint part: the checkpoint's alone (`lost`), the artifact's (`won`).

    `p` is that of McNemar's exact test, two-sided: how often so uneven a split would come if both were equally good. `low` and
    `high` end the 95 % interval of the change of top-1 (Newcombe 1998, method 10), and `visible` is the least change that this
    test could have shown at 5 % on so many images that part so often; fractions of 1. `top5` is None for up to five classes.
    `damage` are the classes that changed, worst first, at most ten.
    """

    lost: int
    won: int
    p: float
    low: float
    high: float
    visible: float
    top5: float | None = None
    reference_top5: float | None = None
    damage: tuple[Damage, ...] = ()
