"""A folder of images without classes, for pre-training: whatever lies in it and below it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from edgevit.data.dataset import Images
from edgevit.data.folder import NATIVE_SIZE, SUFFIXES, of_files
from edgevit.errors import BadInput

__all__ = ["NATIVE_SIZE", "open_unlabelled", "recognises"]


def recognises(spec: str) -> bool:
    """Whether images lie in the folder itself, rather than in a folder for each class."""
    folder = Path(spec)
    return folder.is_dir() and any(f.suffix.lower() in SUFFIXES and f.is_file() for f in folder.iterdir())


def open_unlabelled(spec: str, seed: int, held_out: float) -> tuple[Images, Images]:
    """All images at or below `spec` as (train, held out); their classes are all 0. Raises BadInput for fewer than two."""
    root = Path(spec)
    files = sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if len(files) < 2:
        raise BadInput(f"only one image in {spec}", "pre-training needs one to learn from and one held out, and better thousands")
    files.sort(key=lambda f: hashlib.sha256(f"{seed}/{f.relative_to(root).as_posix()}".encode(errors="surrogatepass")).digest())
    cut = min(max(1, round(held_out * len(files))), len(files) - 1)
    return _images(root, sorted(files[cut:])), _images(root, sorted(files[:cut]))


def _images(root: Path, files: list[Path]) -> Images:
    names = [f.relative_to(root).as_posix() for f in files]
    return of_files(names, np.zeros(len(files), np.int64), files)
