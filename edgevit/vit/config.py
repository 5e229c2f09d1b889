"""Variants by name: "S/16" is a width, depth, heads and mlp width, and a patch of 16 pixels."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.errors import BadInput, UnknownName
from edgevit.types import ViTConfig


@dataclass(frozen=True)
class Size:
    """Width, depth, heads and mlp width of an encoder, and where they come from."""

    width: int
    depth: int
    heads: int
    mlp: int
    source: str


SIZES = {
    "Pico": Size(64, 4, 2, 128, "ours: a toy for tests"),
    "Nano": Size(96, 6, 3, 192, "ours: images of 28 to 64 pixels, trained from scratch on a CPU"),
    "Micro": Size(192, 8, 3, 384, "ours: the same with more data or a GPU"),
    "Ti": Size(192, 12, 3, 768, "DeiT, arXiv 2012.12877, table 1"),
    "S": Size(384, 12, 6, 1536, "DeiT, arXiv 2012.12877, table 1"),
    "B": Size(768, 12, 12, 3072, "ViT, arXiv 2010.11929, table 1"),
    "L": Size(1024, 24, 16, 4096, "ViT, arXiv 2010.11929, table 1"),
    "H": Size(1280, 32, 16, 5120, "ViT, arXiv 2010.11929, table 1"),
}

NAMES = (
    "Pico/4", "Pico/8", "Nano/4", "Nano/8", "Micro/4", "Micro/8",
    "Ti/16", "S/32", "S/16", "B/32", "B/16", "L/32", "L/16", "H/14",
)  # fmt: skip
"""The variants that `edgevit models` shows. Any size goes with any patch of 2 to 64 pixels."""


def config(variant: str, image_size: int, classes: int) -> ViTConfig:
    """The shape of a named variant. Raises UnknownName, and BadInput where the patch does not divide the image."""
    name, slash, patch = variant.partition("/")
    if name not in SIZES or not slash or not patch.isascii() or not patch.isdigit() or not 2 <= int(patch) <= 64:
        raise UnknownName("model", variant, NAMES)
    size = SIZES[name]
    if image_size <= 0 or image_size % int(patch):
        near = max(1, round(image_size / int(patch))) * int(patch)
        raise BadInput(f"patch {patch} of {variant} does not divide image size {image_size}", f"try --image-size {near}")
    return ViTConfig(variant, image_size, int(patch), size.width, size.depth, size.heads, size.mlp, classes)


def parameters(config: ViTConfig) -> int:
    """Number of trained values, by arithmetic alone (the model agrees, by test)."""
    d, m = config.width, config.mlp
    block = 4 * d + (3 * d * d + 3 * d) + (d * d + d) + (2 * d * m + m + d)
    embedding = 3 * config.patch**2 * d + d + d + config.tokens * d
    return embedding + config.depth * block + 2 * d + d * config.classes + config.classes


def multiply_adds(config: ViTConfig) -> int:
    """Multiply-adds for one image: the linear maps and the two attention products."""
    n, d, m = config.tokens, config.width, config.mlp
    block = n * (4 * d * d + 2 * d * m) + 2 * n * n * d
    return (n - 1) * 3 * config.patch**2 * d + config.depth * block + d * config.classes
