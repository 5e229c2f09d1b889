"""What `preprocessor_config.json` of `transformers` says of an image, in its forms of today and of yesterday."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgevit.errors import BadInput
from edgevit.types import Size
from edgevit.vit.foreign.asked import Channels, Resize
from edgevit.vit.foreign.files import read_config
from edgevit.vit.foreign.said import Given, Said, pixels

FILE = "preprocessor_config.json"
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
SQUARE = ("ViT", "DeiT")
"""Processors that take a single number for both sides; with the others of `KNOWN` it is the short one."""
KNOWN = ("ViT", "DeiT", "ViTHybrid", "Bit", "CLIP")
"""Processors whose sizes are understood here. Another may resize in a way of its own, so that it has to be said."""
ENDING = re.compile(r"(FeatureExtractor|ImageProcessor)(Fast|Pil)?$")


@dataclass(frozen=True)
class Sides:
    """`size` or `crop_size`: height and width, or the short side."""

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None


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
    crop_pct: float | None = None
    do_pad: bool | None = None
    do_flip_channel_order: bool | None = None

    @property
    def kind(self) -> str:
        return ENDING.sub("", self.image_processor_type or self.feature_extractor_type or "")


def read(given: Given) -> Said:
    """Raises BadInput for pixels that are not scaled to 0..1: every mean would then mean something else."""
    processor: Processor = read_config(given.folder, FILE, Processor)
    factor = processor.rescale_factor
    if processor.do_rescale is False or (factor is not None and abs(factor * 255 - 1) > 1e-6):
        raise BadInput(
            f"{given.origin}: {FILE} does not scale pixels by 1/255", "edgevit's preprocessing does; no option changes it"
        )
    _require_usual(given, processor)
    plain = processor.do_normalize is False
    known = processor.kind in KNOWN
    resize, crop = (_resize(given, processor), _crop(given, processor)) if known else (None, None)
    return Said(
        gelu="", norm_eps=0.0, resize=resize,
        interpolation=None if processor.resample is None else RESAMPLE.get(processor.resample),
        mean=(0.0, 0.0, 0.0) if plain else processor.image_mean, std=(1.0, 1.0, 1.0) if plain else processor.image_std,
        crop=crop or (resize.size if resize and resize.aspect == "squash" else None),
    )  # fmt: skip


def _require_usual(given: Given, processor: Processor) -> None:
    """Raises BadInput for fields that change the pixels otherwise than edgevit can; those of the size only where it is taken."""
    known, size = processor.kind in KNOWN, processor.size if isinstance(processor.size, Sides) else Sides()
    odd = {
        "do_flip_channel_order": processor.do_flip_channel_order is True,
        "do_pad": known and processor.do_pad is True,
        "crop_pct": known and processor.crop_pct is not None,
        "longest_edge of size": known and size.longest_edge is not None,
    }
    for name, there in odd.items():
        if there:
            hint = "take it out of the file where it changes nothing"
            raise BadInput(f"{given.origin}: {name} in {FILE} changes the pixels, which edgevit's preprocessing cannot do", hint)


def _resize(given: Given, processor: Processor) -> Resize | None:
    """None where the aspect is kept and nothing cut out: images of many shapes would come out, and a ViT takes one."""
    if processor.do_resize is False or processor.size is None:
        return None
    by_number = isinstance(processor.size, int)
    keep = processor.kind not in SQUARE if by_number else isinstance(processor.size, Sides) and bool(processor.size.shortest_edge)
    size = _sides(given, "size", processor.size)
    return Resize(size, "keep" if keep else "squash") if size and not (keep and processor.do_center_crop is False) else None


def _crop(given: Given, processor: Processor) -> Size | None:
    """A file that names a size to cut out, and does not say that it cuts, is one of those that always did."""
    return None if processor.do_center_crop is False else _sides(given, "crop_size", processor.crop_size)


def _sides(given: Given, name: str, told: int | Sides | None) -> Size | None:
    """Height and width. Raises DamagedFile for sides that no image has."""
    size: int | Size | None = told if not isinstance(told, Sides) else told.shortest_edge
    if isinstance(told, Sides) and size is None and told.height is not None and told.width is not None:
        size = (told.height, told.width)
    return pixels(size, f"{given.origin}: {name} in {FILE}")
