"""A JPEG, PNG or WebP, from a file or from bytes, into an image: whole, of eight bits a channel, and of a camera's size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from edgevit.errors import DamagedFile

FORMATS = ("JPEG", "PNG", "WEBP")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Eight bits a channel. Sixteen-bit and float images would be clipped without a word, so they are refused."""
LARGEST = 89_478_485
"""Pixels; where Pillow begins to warn. Its warning is of no use here: several threads open images at once, and share filters."""


def open_image(path: Path) -> Image.Image:
    """The image in a file, decoded whole. Raises DamagedFile for a cut, foreign or enormous one, and for odd pixel types."""
    return _decode(path, str(path))


def image_of(content: bytes, name: str) -> Image.Image:
    """The image in the bytes of a file, as `open_image` has it; errors call it `name`."""
    return _decode(io.BytesIO(content), name)


def _decode(file: Path | IO[bytes], name: str) -> Image.Image:
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            image.load()
    except UnidentifiedImageError as error:
        raise DamagedFile(f"not a JPEG, PNG or WebP image: {name}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DamagedFile(f"more pixels than an image of a camera has: {name}", str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for cut and broken files
        raise DamagedFile(f"cannot decode {name}: {error}") from error
    if image.mode not in MODES:
        raise DamagedFile(f"pixels of type {image.mode}, not 8 bits a channel: {name}", "convert it to 8 bits first")
    return image


def content_of(path: Path) -> bytes:
    """The bytes of an image's file. Raises DamagedFile."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedFile(f"cannot read {path}: {(error.strerror or '').lower()}") from error


def stamp_of(path: Path) -> list[str | int]:
    """What is another when the file has become another: its place, size, time and inode; of one that is not there, its place."""
    try:
        found = path.stat()
    except OSError:
        return [str(path.absolute())]
    return [str(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ino]
