"""The candidates of a plan, and which of them are measured."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from edgevit.errors import BadInput, UnknownName
from edgevit.planning.costs import features
from edgevit.types import Candidate, Design, ResNetStem, ViTConfig
from edgevit.vit.config import ENCODERS, Encoder, multiply_adds, named, parts

BETWEEN = (
    (96, 3, 192), (128, 4, 512), (192, 3, 384), (192, 3, 768), (256, 4, 1024), (320, 5, 1280), (384, 6, 1536),
)  # fmt: skip
"""Width, heads and mlp width: those of Nano, Micro, Ti and S, and some between them."""
PATCHES = (8, 16, 32)
SIZES = (96, 128, 160, 192, 224, 256, 288, 320, 384)
DEPTHS = (4, 6, 8, 10, 12)
LEAST = 6
"""Points that a cost model is fitted to, at the least: fewer say nothing of how the kinds of work differ."""


@dataclass(frozen=True)
class Grid:
    """What candidates are made of; `most` multiply-adds for one image, so that measuring ends."""

    variants: tuple[str, ...] = ()
    patches: tuple[int, ...] = PATCHES
    sizes: tuple[int, ...] = SIZES
    depths: tuple[int, ...] = DEPTHS
    kinds: tuple[tuple[str, str], ...] = ()
    """Pairs of target and recipe."""
    classes: int = 10
    most: float = 5e9


def candidates(grid: Grid) -> tuple[Candidate, ...]:
    """Every candidate of the grid. Raises UnknownName, and BadInput where none is left."""
    every = itertools.product(widths(grid.variants), grid.patches, grid.sizes, grid.depths)
    shapes = [_shape(*one, grid.classes) for one in every if one[2] % one[1] == 0]
    shapes = [shape for shape in dict.fromkeys(shapes) if multiply_adds(shape) <= grid.most]
    if not shapes:
        raise BadInput("no model is left to plan with", "a patch must divide the image size; --max-gmacs allows larger models")
    return tuple(Candidate(shape, *kind) for kind in grid.kinds for shape in shapes)


def widths(variants: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """Width, heads and mlp width of the variants of those names; without names, of all. Raises UnknownName, BadInput."""
    found = [_parts(name) for name in variants]
    if any(stem for _, _, stem in found):
        raise BadInput("no plan for a hybrid", "--variant takes a plain encoder: Nano, Ti, S")
    return tuple(dict.fromkeys((one.width, one.heads, one.mlp) for one, _, _ in found)) or BETWEEN


def _parts(name: str) -> tuple[Encoder, int, ResNetStem | None]:
    try:
        return parts(f"{name}/32")
    except UnknownName:
        raise UnknownName("variant", name, ENCODERS) from None


def _shape(width: tuple[int, int, int], patch: int, size: int, depth: int, classes: int) -> ViTConfig:
    wide, heads, mlp = width
    shape = ViTConfig("", (size, size), patch, wide, depth, heads, mlp, classes)
    return dataclasses.replace(shape, variant=named(shape))


def chosen(every: Sequence[Candidate], design: Design) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """The candidates to fit to, and those that are held out: drawn from the whole grid first, so that no choice sees them.

    The others fill the space of the logarithms of their work: after one at random, always the one that is farthest from all that
    are taken (greedy maximin), for each target and recipe alike. Raises BadInput for too few.
    """
    kinds = list(dict.fromkeys((one.target, one.recipe) for one in every))
    share = design.measure // len(kinds)
    if share < LEAST:
        raise BadInput(
            f"{design.measure} measured candidates are too few for {len(kinds)} kinds of file",
            f"--measure {LEAST * len(kinds)}, or fewer of --target and --recipe",
        )
    draw = random.Random(design.seed)
    held_out = draw.sample(list(every), min(design.held_out, len(every) // 2))
    left = [one for one in every if one not in set(held_out)]
    fitted = [one for kind in kinds for one in _spread([one for one in left if (one.target, one.recipe) == kind], share, draw)]
    return tuple(fitted), tuple(held_out)


def _spread(every: Sequence[Candidate], wanted: int, draw: random.Random) -> list[Candidate]:
    if not every:
        return []
    places = _places(every)
    taken = [draw.randrange(len(every))]
    nearest = [math.dist(place, places[taken[0]]) for place in places]
    while len(taken) < min(wanted, len(every)):
        taken.append(max((n for n in range(len(every)) if n not in taken), key=lambda n: nearest[n]))
        nearest = [min(near, math.dist(place, places[taken[-1]])) for near, place in zip(nearest, places, strict=True)]
    return [every[n] for n in taken]


def _places(every: Sequence[Candidate]) -> list[tuple[float, ...]]:
    """Logarithms of the work, each from 0 to 1 over all candidates. What only some have is another kind that is cut off."""
    work = [list(features(one.shape).values()) for one in every]
    whole = [column for column in zip(*work, strict=True) if min(column) > 0]
    columns = [_unit([math.log(value) for value in column]) for column in whole]
    return list(zip(*columns, strict=True))


def _unit(column: Sequence[float]) -> list[float]:
    low, high = min(column), max(column)
    return [(value - low) / (high - low) if high > low else 0.0 for value in column]
