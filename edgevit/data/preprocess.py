"""What a pixel becomes on its way into the model: the one definition, for training, calibration, checking and the app.

An image becomes uint8 pixels (`pixels`), and those become the float tensor that the model takes (`normalise`).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import ExifTags, Image

from edgevit.errors import DamagedFile
from edgevit.types import Preprocess, Size

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation. Pillow's own `exif_transpose` stops at other tags that are malformed."""

LARGEST = 1 << 28
"""Pixels of an image once its short side is resized; a strip of 60,000 x 1 would take gigabytes."""


def pixels(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """An image of any size to uint8 (height, width, 3) RGB, as large as `crop`.

    Turned upright by its EXIF tag, made RGB, resized (antialiased, as Pillow does), the middle cut out; an odd margin leaves the
    larger part right and below. Raises DamagedFile for a strip of an image.
    """
    name = getattr(image, "filename", "")
    image = rgb(image)
    height, width = _resized((image.height, image.width), preprocess)
    if height * width > LARGEST:
        raise DamagedFile(f"{image.width} x {image.height} pixels are too long and thin to resize: {name}")
    if (width, height) != image.size:
        image = image.resize((width, height), INTERPOLATIONS[preprocess.interpolation])
    down, across = preprocess.crop
    top, left = (height - down) // 2, (width - across) // 2
    return np.asarray(image.crop((left, top, left + across, top + down)))


def rgb(image: Image.Image) -> Image.Image:
    """The image as it is meant to be looked at, in RGB: alpha is dropped, not blended."""
    return _upright(image).convert("RGB")


def _resized(size: Size, preprocess: Preprocess) -> Size:
    """What an image of `size` (height, width) is resized to. The longer side is cut to whole pixels, as torchvision has it."""
    if preprocess.aspect == "squash":
        return preprocess.resize
    scales = [wanted / side for wanted, side in zip(preprocess.resize, size, strict=True)]
    height, width = (
        wanted if scale == max(scales) else max(wanted, int(side * max(scales)))
        for wanted, scale, side in zip(preprocess.resize, scales, size, strict=True)
    )
    return height, width


def _upright(image: Image.Image) -> Image.Image:
    """An orientation that cannot be read is none, as viewers have it."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises whatever it trips over in a malformed EXIF block
        return image
    return image if turn is None else image.transpose(turn)


def normalise(batch: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W): scaled to 0..1, then (x - mean) / std per channel."""
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    scaled = (batch.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def denormalise(batch: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """float32 (N, 3, H, W) back to uint8 (N, H, W, 3), to be looked at."""
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    return np.rint(np.clip(batch.transpose(0, 2, 3, 1) * std + mean, 0, 1) * 255).astype(np.uint8)


def default(image_size: Size, photos: bool) -> Preprocess:
    """For training from scratch: photographs lose an eighth at the margin, as is usual; drawings and scans keep all."""
    height, width = (round(side * 256 / 224) if photos else side for side in image_size)
    return Preprocess((height, width), image_size, "bicubic" if photos else "bilinear")


def at_size(preprocess: Preprocess, image_size: Size) -> Preprocess:
    """The same for another image size: the margin that is cut off keeps its share of the image."""
    if preprocess.crop == image_size:
        return preprocess
    height, width = (round(r * new / c) for r, c, new in zip(preprocess.resize, preprocess.crop, image_size, strict=True))
    return dataclasses.replace(preprocess, resize=(height, width), crop=image_size)
