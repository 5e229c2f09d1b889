"""What a pixel becomes on its way into the model: the one definition, for training, calibration, checking and the app.

An image becomes uint8 pixels (`pixels`), and those become the float tensor that the model takes (`normalise`).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from edgevit.types import Preprocess

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def pixels(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """An image of any size to uint8 (crop, crop, 3) RGB.

    Turned upright by its EXIF tag, made RGB, the short side resized to `resize` (antialiased, as Pillow does), the middle
    cut out; an odd margin leaves the larger part right and below.
    """
    image = ImageOps.exif_transpose(image).convert("RGB")
    width, height = image.size
    scale = preprocess.resize / min(width, height)
    size = (max(preprocess.resize, round(width * scale)), max(preprocess.resize, round(height * scale)))
    if size != image.size:
        image = image.resize(size, INTERPOLATIONS[preprocess.interpolation])
    left, top = ((side - preprocess.crop) // 2 for side in size)
    return np.asarray(image.crop((left, top, left + preprocess.crop, top + preprocess.crop)))


def normalise(batch: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W): scaled to 0..1, then (x - mean) / std per channel."""
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    scaled = (batch.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def denormalise(batch: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """float32 (N, 3, H, W) back to uint8 (N, H, W, 3), to be looked at."""
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    return np.rint(np.clip(batch.transpose(0, 2, 3, 1) * std + mean, 0, 1) * 255).astype(np.uint8)


def default(image_size: int, photos: bool) -> Preprocess:
    """For training from scratch: photographs lose an eighth at the margin, as is usual; drawings and scans keep all."""
    resize = round(image_size * 256 / 224) if photos else image_size
    return Preprocess(resize, image_size, "bicubic" if photos else "bilinear")
