"""idx files, as MNIST and Fashion-MNIST are published: a folder with `train-images-idx3-ubyte` and so on, gzipped or not.

Format: http://yann.lecun.com/exdb/mnist/ (magic 0x0803 images, 0x0801 labels, then the sizes, big-endian, then the bytes).
The files name no classes, so labels are the class numbers.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from edgevit.data.dataset import Dataset, Images, divided
from edgevit.errors import BadInput, DamagedFile

LARGEST = 8 << 30
"""Bytes of one uncompressed file, above which a header is not believed."""
DEFLATE = 1032
"""No gz packs more bytes into one (zlib's own limit), so a header that promises more of its file lies."""


def recognises(spec: str) -> bool:
    return Path(spec).is_dir() and _find(Path(spec), "train-images-idx3-ubyte") is not None


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    train = _read_pair(Path(spec), "train")
    own_split = _find(Path(spec), "t10k-images-idx3-ubyte") is not None
    aside = _read_pair(Path(spec), "t10k") if own_split else None
    labels = tuple(str(i) for i in range(max(int(part.classes.max()) for part in (train, aside) if part) + 1))
    parts = divided(train, None, aside, seed, held_out)
    return Dataset(spec, labels, parts, max(train.open(0).size), photos=False, named=False)


def _read_pair(folder: Path, part: str) -> Images:
    pixels = _read(folder, f"{part}-images-idx3-ubyte", 3)
    classes = _read(folder, f"{part}-labels-idx1-ubyte", 1)
    if len(pixels) != len(classes):
        raise DamagedFile(f"{len(pixels)} images but {len(classes)} labels in the {part} files of {folder}")
    if not pixels.size:
        raise BadInput(f"no images in the {part} files of {folder}")
    names = [f"{part}/{i:05d}" for i in range(len(pixels))]
    return Images(names, classes.astype(np.int64), lambda i: Image.fromarray(pixels[i]))


def _find(folder: Path, name: str) -> Path | None:
    return next((f for f in (folder / name, folder / f"{name}.gz") if f.is_file()), None)


def _read(folder: Path, name: str, rank: int) -> np.ndarray:
    """The array of one idx file. At most as many bytes are read as the header promises: a small gz can unpack to terabytes."""
    path = _find(folder, name)
    if path is None:
        raise BadInput(f"missing from {folder}: {name} or {name}.gz")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, *shape = struct.unpack(f">I{rank}I", file.read(4 + 4 * rank))
            if magic != 0x0800 + rank or math.prod(shape) > LARGEST:
                raise DamagedFile(f"not an idx file of unsigned bytes with {rank} dimensions: {path}")
            if math.prod(shape) > DEFLATE * path.stat().st_size:
                raise DamagedFile(f"cut or damaged: {path}", f"its header promises {math.prod(shape)} values")
            data = file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DamagedFile(f"cut or damaged: {path}", str(error)) from error
    if len(data) != math.prod(shape):
        raise DamagedFile(f"{path} holds {len(data)} values where its header says {math.prod(shape)}")
    return np.frombuffer(data, np.uint8).reshape(shape)
