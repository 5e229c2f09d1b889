"""What `preprocessor_config.json` of `transformers` says of an image, in its forms of today and of yesterday."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.errors import BadInput
from edgevit.types import Size
from edgevit.vit.foreign.asked import Channels, Resize
from edgevit.vit.foreign.files import read_config
from edgevit.vit.foreign.said import Given, Said

FILE = "preprocessor_config.json"
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
SQUARE = ("ViT", "DeiT")
"""Processors that take a single number for both sides; with others it is the short one."""


@dataclass(frozen=True)
class Sides:
    """`size` or `crop_size`: height and width, or the short side."""

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None


@dataclass(frozen=True)
class Processor:
    """None is what the file does not say; what is done to an image is then what these processors always did."""

    image_processor_type: str | None = None
    feature_extractor_type: str | None = None
    do_resize: bool | None = None
    size: int | Sides | None = None
    do_center_crop: bool | None = None
    crop_size: int | Sides | None = None
    do_rescale: bool | None = None
    rescale_factor: float | None = None
    do_normalize: bool | None = None
    image_mean: Channels | None = None
    image_std: Channels | None = None
    resample: int | None = None


def read(given: Given) -> Said:
    """Raises BadInput for pixels that are not scaled to 0..1: every mean would then mean something else."""
    processor: Processor = read_config(given.folder, FILE, Processor)
    factor = processor.rescale_factor
    if processor.do_rescale is False or (factor is not None and abs(factor * 255 - 1) > 1e-6):
        raise BadInput(
            f"{given.origin}: {FILE} does not scale pixels by 1/255", "edgevit's preprocessing does; no option changes it"
        )
    plain = processor.do_normalize is False
    resize, crop = _resize(processor), _crop(processor)
    return Said(
        gelu="", norm_eps=0.0, resize=resize,
        interpolation=None if processor.resample is None else RESAMPLE.get(processor.resample),
        mean=(0.0, 0.0, 0.0) if plain else processor.image_mean, std=(1.0, 1.0, 1.0) if plain else processor.image_std,
        crop=crop or (resize.size if resize and resize.aspect == "squash" else None),
    )  # fmt: skip


def _resize(processor: Processor) -> Resize | None:
    if processor.do_resize is False or processor.size is None:
        return None
    if isinstance(processor.size, int):
        kind = processor.image_processor_type or processor.feature_extractor_type or ""
        aspect = "squash" if kind.startswith(SQUARE) and "Hybrid" not in kind else "keep" if kind else None
        return Resize((processor.size, processor.size), aspect) if aspect else None
    size = _sides(processor.size)
    return Resize(size, "keep" if processor.size.shortest_edge else "squash") if size else None


def _crop(processor: Processor) -> Size | None:
    """A file that names a size to cut out, and does not say that it cuts, is one of those that always did."""
    if processor.crop_size is None or processor.do_center_crop is False:
        return None
    return (processor.crop_size,) * 2 if isinstance(processor.crop_size, int) else _sides(processor.crop_size)


def _sides(sides: Sides) -> Size | None:
    if sides.shortest_edge:
        return sides.shortest_edge, sides.shortest_edge
    return (sides.height, sides.width) if sides.height and sides.width else None
