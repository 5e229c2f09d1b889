"""scikit-learn's digits: 1,797 scans of handwritten digits, 8x8 pixels in 17 greys, that come with the package."""

from __future__ import annotations

import numpy as np
from PIL import Image

from edgevit.data.dataset import Dataset, Images, Undivided

SHOWN = 32
"""Side in pixels; each pixel of a scan is shown as 4x4."""


def recognises(spec: str) -> bool:
    return spec == "digits"


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = Images([f"digits/{i:04d}" for i in range(len(pixels))], digits.target, lambda i: Image.fromarray(pixels[i]))
    labels = tuple(str(name) for name in digits.target_names)
    return Dataset(spec, labels, Undivided(images, seed, held_out), SHOWN, photos=False)
