"""A folder per class with JPEG, PNG or WebP images, or such folders below `train` and `val` (or `test`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from edgevit.data.dataset import Dataset, Images, split_by_class
from edgevit.errors import BadInput, DamagedFile

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FORMATS = ("JPEG", "PNG", "WEBP")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Eight bits a channel. Sixteen-bit and float images would be clipped without a word, so they are refused."""
LARGEST = 89_478_485
"""Pixels; where Pillow begins to warn. Its warning is of no use here: several threads open images at once, and share filters."""
HELD_OUT = ("val", "validation", "valid", "test")
NATIVE_SIZE = 224


def recognises(spec: str) -> bool:
    return Path(spec).is_dir()


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    root = Path(spec)
    aside = next((root / name for name in HELD_OUT if (root / name).is_dir()), None)
    if (root / "train").is_dir() and aside:
        labels, train = _scan(root / "train")
        other_labels, test = _scan(aside)
        if labels != other_labels:
            differ = sorted(set(labels) ^ set(other_labels))
            raise BadInput(f"{root}: classes in only one of train and {aside.name}: {', '.join(differ[:5])}")
    else:
        labels, images = _scan(root)
        train, test = split_by_class(images, labels, seed, held_out)
    return Dataset(spec, labels, train, test, NATIVE_SIZE, photos=True)


def _scan(root: Path) -> tuple[tuple[str, ...], Images]:
    """Labels and images of a folder with a folder per class, in the order of their names."""
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    members = [sorted(f for f in c.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file()) for c in folders]
    if not any(members):
        raise BadInput(f"no images in {root}", f"expected a folder per class with {', '.join(SUFFIXES)} files")
    if empty := [c.name for c, files in zip(folders, members, strict=True) if not files]:
        raise BadInput(f"no image in class {empty[0]} of {root}", "remove the folder, or put images in it")
    if len(folders) < 2:
        raise BadInput(f"only one class in {root}: {folders[0].name}", "a classifier needs two or more")
    files = [file for group in members for file in group]
    classes = np.repeat(np.arange(len(folders)), [len(group) for group in members])
    names = [file.relative_to(root).as_posix() for file in files]
    return tuple(c.name for c in folders), Images(names, classes, lambda i: open_image(files[i]))


def open_image(path: Path) -> Image.Image:
    """The image in a file, decoded whole. Raises DamagedFile for a cut, foreign or enormous one, and for odd pixel types."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            image.load()
    except UnidentifiedImageError as error:
        raise DamagedFile(f"not a JPEG, PNG or WebP image: {path}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DamagedFile(f"more pixels than an image of a camera has: {path}", str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for cut and broken files
        raise DamagedFile(f"cannot decode {path}: {error}") from error
    if image.mode not in MODES:
        raise DamagedFile(f"pixels of type {image.mode}, not 8 bits a channel: {path}", "convert it to 8 bits first")
    return image
