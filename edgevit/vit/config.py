"""Variants by name: "S/16" is a width, depth, heads and mlp width, and a patch of 16 pixels; "R50+B/16" has a ResNet first.

What has no name of ours is spelt out: "256x8x4x1024/16".
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from edgevit.errors import BadInput, UnknownName
from edgevit.types import Merge, ResNetStem, Size, ViTConfig


@dataclass(frozen=True)
class Encoder:
    """Width, depth, heads and mlp width of an encoder, and where they come from."""

    width: int
    depth: int
    heads: int
    mlp: int
    source: str


ENCODERS = {
    "Pico": Encoder(64, 4, 2, 128, "ours: a toy for tests"),
    "Nano": Encoder(96, 6, 3, 192, "ours: images of 28 to 64 pixels, trained from scratch on a CPU"),
    "Micro": Encoder(192, 8, 3, 384, "ours: the same with more data or a GPU"),
    "Ti": Encoder(192, 12, 3, 768, "DeiT, arXiv 2012.12877, table 1"),
    "S": Encoder(384, 12, 6, 1536, "DeiT, arXiv 2012.12877, table 1"),
    "B": Encoder(768, 12, 12, 3072, "ViT, arXiv 2010.11929, table 1"),
    "L": Encoder(1024, 24, 16, 4096, "ViT, arXiv 2010.11929, table 1"),
    "H": Encoder(1280, 32, 16, 5120, "ViT, arXiv 2010.11929, table 1"),
}

PUBLISHED = ("Ti", "S", "B", "L", "H")
"""Encoders that others have trained and published by the shapes above."""

STEMS = {
    ("R8", 8): ResNetStem((1, 1), 16),
    ("R26", 32): ResNetStem((2, 2, 2, 2)),
    ("R50", 16): ResNetStem((3, 4, 9)),
    ("R50", 32): ResNetStem((3, 4, 6, 3)),
}
"""By name and patch. R50 at 16 moves the units of the last stage into the one before (paper, section 4.1, "Model Variants")."""

NAMES = (
    "Pico/4", "Pico/8", "Nano/4", "Nano/8", "R8+Nano/8", "Micro/4", "Micro/8",
    "Ti/16", "S/32", "S/16", "R26+S/32", "B/32", "B/16", "R50+B/32", "R50+B/16",
    "L/32", "L/16", "L/14", "R50+L/32", "H/32", "H/16", "H/14",
)  # fmt: skip
"""The variants that `edgevit models` shows. Any encoder goes with any patch of 2 to 64 pixels."""


def config(variant: str, image_size: Size, classes: int) -> ViTConfig:
    """The shape of a named variant. Raises UnknownName, and BadInput where the patch does not divide the image."""
    size, patch, stem = parts(variant)
    require_divided(variant, image_size, patch)
    return ViTConfig(variant, image_size, patch, size.width, size.depth, size.heads, size.mlp, classes, stem=stem)


def parts(variant: str) -> tuple[Encoder, int, ResNetStem | None]:
    """Encoder, patch and ResNet of a named variant. Raises UnknownName."""
    stem_name, plus, rest = variant.rpartition("+")
    name, slash, digits = rest.partition("/")
    encoder = ENCODERS.get(name) or _spelt(name)
    if encoder is None or not slash or not re.fullmatch("[0-9]{1,2}", digits) or not 2 <= int(digits) <= 64:
        raise UnknownName("model", variant, NAMES)
    stem = STEMS.get((stem_name, int(digits)))
    if plus and not stem:
        raise UnknownName("model", variant, NAMES)
    return encoder, int(digits), stem


def _spelt(name: str) -> Encoder | None:
    """An encoder that has no name of ours: width, depth, heads and mlp width, 256x8x4x1024, as `named` writes it."""
    found = re.fullmatch("([1-9][0-9]{0,3})x([1-9][0-9]?)x([1-9][0-9]?)x([1-9][0-9]{0,4})", name)
    if not found or int(found[1]) % int(found[3]):
        return None
    width, depth, heads, mlp = map(int, found.groups())
    return Encoder(width, depth, heads, mlp, "by its figures")


def require_divided(variant: str, image_size: Size, patch: int) -> None:
    """Raise BadInput, with the nearest size that would do, where the patch does not divide the image."""
    if any(side <= 0 or side % patch for side in image_size):
        height, width = (max(1, round(side / patch)) * patch for side in image_size)
        raise BadInput(
            f"patch {patch} of {variant} does not divide image size {shown(image_size)}",
            f"try --image-size {shown((height, width))}",
        )


LEAST = 0.25
"""Share of the patches that two merges can leave: each leaves half at least."""


def merges(config: ViTConfig, keep: float) -> tuple[Merge, ...]:
    """Two merges, behind a third and two thirds of the blocks, that leave the share `keep` of the patches. Raises BadInput."""
    if keep == 1:
        return ()
    if not LEAST <= keep < 1:
        raise BadInput(f"the share of patches that are kept must be between {LEAST} and 1, not {keep:g}")
    if config.merges:
        raise BadInput("this model merges patches already", "leave out --keep-patches")
    after = (config.depth // 3, 2 * config.depth // 3)
    counts = [max(round(config.patches * keep ** (n / 2)), 1) for n in (1, 2)]
    try:
        found = tuple(Merge(*merge) for merge in zip(after, counts, strict=True))
        dataclasses.replace(config, merges=found)
    except ValueError as error:
        raise BadInput(f"patches cannot be merged here: {error}", "leave out --keep-patches") from error
    return found


def shown(size: Size) -> str:
    """224 for a square, 192x256 (height x width) for another rectangle."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def named(config: ViTConfig) -> str:
    """The variant's name of an encoder whose shape was read from a file; the plain figures where it has none of ours."""
    shape = (config.width, config.depth, config.heads, config.mlp)
    name = next((n for n, e in ENCODERS.items() if (e.width, e.depth, e.heads, e.mlp) == shape), None)
    base = f"{name or 'x'.join(map(str, shape))}/{config.patch}"
    if config.stem is None:
        return base
    like = dataclasses.replace(config.stem, norm_eps=ResNetStem((1,)).norm_eps)
    stem = next((n for (n, patch), s in STEMS.items() if s == like and patch == config.patch), None)
    return f"{stem or 'R' + '-'.join(map(str, config.stem.layers))}+{base}"


def parameters(config: ViTConfig) -> int:
    """Number of trained values, by arithmetic alone (the model agrees, by test)."""
    d, m = config.width, config.mlp
    block = 4 * d + (3 * d * d + 3 * d) + (d * d + d) + (2 * d * m + m + d)
    if config.positions == "relative":
        block += _offsets(config) * (d // config.heads)
    channels, cell = (config.stem.channels, config.patch // config.stem.stride) if config.stem else (3, config.patch)
    embedding = channels * cell**2 * d + d + config.prefix * d + _positions(config)
    if config.stem:
        embedding += sum(k * k * i * o + 2 * o for k, i, o, _ in convolutions(config.stem))
    r = config.representation
    head = (d * r + r if r else 0) + ((r or d) * config.classes + config.classes) * (2 if config.pool == "distilled" else 1)
    return embedding + config.depth * block + 2 * d + head


def stored(config: ViTConfig) -> int:
    """Number of values in a file of the weights: the trained ones, and positions that are fixed."""
    return parameters(config) + (config.patches * config.width if config.positions == "sincos" else 0)


def _offsets(config: ViTConfig) -> int:
    """Rows of the table of relative positions: two patches differ by any of these; the rest are the three with a prefix token."""
    height, width = config.grid
    return (2 * height - 1) * (2 * width - 1) + 3


def _positions(config: ViTConfig) -> int:
    height, width = config.grid
    counts = {"1d": (config.class_tokens + config.patches) * config.width, "2d": (height + width) * (config.width // 2)}
    return counts.get(config.positions, 0)


def convolutions(stem: ResNetStem) -> list[tuple[int, int, int, int]]:
    """(kernel, channels in, channels out, pixels of the image along a side of its output) of every convolution of a stem."""
    found = [(7, 3, stem.width, 2)]
    channels = stem.width
    for number, units in enumerate(stem.layers):
        middle, out, stride = stem.width * 2**number, stem.width * 2 ** (number + 2), 4 * 2**number
        before = stride if number == 0 else stride // 2
        for unit in range(units):
            if unit == 0:
                found.append((1, channels, out, stride))
            found += [
                (1, channels, middle, before if unit == 0 else stride),
                (3, middle, middle, stride),
                (1, middle, out, stride),
            ]
            channels = out
    return found


def multiply_adds(config: ViTConfig) -> int:
    """Multiply-adds for one image: convolutions, linear maps, the attention products and those of merging patches."""
    d, m = config.width, config.mlp
    products = 3 if config.positions == "relative" else 2
    blocks = sum(n * (4 * d * d + 2 * d * m) + products * n * n * d for n in config.lengths)
    channels, cell = (config.stem.channels, config.patch // config.stem.stride) if config.stem else (3, config.patch)
    embedding = config.patches * channels * cell**2 * d
    if config.stem:
        height, width = config.image_size
        embedding += sum(k * k * i * o * (height // s) * (width // s) for k, i, o, s in convolutions(config.stem))
    r = config.representation
    head = (d * r if r else 0) + (r or d) * config.classes * (2 if config.pool == "distilled" else 1)
    return embedding + blocks + head + _merging(config)


def _merging(config: ViTConfig) -> int:
    """Each patch that may go beside each that stays, twice, and the choice of those that do not go."""
    found, left = 0, config.patches
    for merge in config.merges:
        going, staying = left // 2, left - left // 2
        found += 2 * going * staying * config.width + (merge.patches - staying) * going * (config.width + 1)
        left = merge.patches
    return found
