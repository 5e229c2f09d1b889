"""Data sets of the Hugging Face Hub by name, `hf:USER/NAME` or `hf:USER/NAME/CONFIG`, and folders that `save_to_disk` wrote.

The library `datasets` finds, downloads and keeps them; it runs no program that a data set brings along. Their
images stay the bytes that they were saved as, and are decoded as the files of a folder are, one at a time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgevit.data import HUB
from edgevit.data.dataset import Dataset, Divided, Images, Undivided, divided
from edgevit.data.decoding import content_of, image_of, open_image
from edgevit.errors import BadInput, DamagedFile, NotInstalled

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*){0,2}", re.ASCII)
OLDEST = (5, 2)
"""Version of the library from which nothing that a data set holds is run or unpickled."""
SAVED = ("dataset_dict.json", "state.json")
VAL = ("validation", "val", "valid")
CLASSES = ("label", "labels", "fine_label")
"""Where there is more than one column of classes: the one that is meant."""
LARGEST_SIDE = 224
UNLABELLED = -1
"""What stands for the classes of a contest's test images."""


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    names: tuple[str, ...]


def recognises(spec: str) -> bool:
    return spec.startswith(HUB) or any((Path(spec) / name).is_file() for name in SAVED)


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    """Needs a column of images and one of classes with names (`Image` and `ClassLabel`).

    The splits are `train`, `validation` (or `val`, `valid`) and `test`; others are left alone, and so is a split without labels.
    The size is the first image's, up to 224 pixels; images are photographs unless the first is grey.
    Raises NotInstalled without the library, BadInput for a name that neither network nor cache has, or another kind of data.
    """
    library = _library()
    found = _from_hub(library, spec.removeprefix(HUB)) if spec.startswith(HUB) else _from_disk(library, Path(spec))
    splits = dict(found) if isinstance(found, library.DatasetDict) else {"train": found}
    chosen = _chosen(splits, spec)
    columns = _columns(library, chosen, spec)
    caches = _caches(library) if spec.startswith(HUB) else ()
    parts = {name: _images(library, data, columns, Place(name, spec, caches)) for name, data in chosen.items()}
    size, photos = _first(next(iter(parts.values())))
    return Dataset(spec, columns.names, _parts(parts, spec, seed, held_out), size, photos)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        message = "data of Hugging Face needs what is not installed: datasets"
        raise NotInstalled(message, "pip install 'edgevit[datasets]'") from error
    if tuple(int(n) for n in re.findall(r"\d+", datasets.__version__)[:2]) < OLDEST:
        message = f"datasets {datasets.__version__} runs programs and opens pickles that a data set brings along"
        raise NotInstalled(message, "pip install -U 'edgevit[datasets]'")
    datasets.disable_progress_bars()
    return datasets


def _from_hub(library: Any, name: str) -> Any:
    """`load_dataset`, for a name that can mean nothing on this machine: it would prefer a folder to what is on the Hub."""
    if not NAME.fullmatch(name):
        raise BadInput(f"not a name on the Hugging Face Hub: {name!r}", "hf:USER/NAME, or hf:USER/NAME/CONFIG")
    user, *rest = name.split("/")
    repository, config = "/".join([user, *rest[:1]]), rest[1] if len(rest) > 1 else None
    if repository in library.packaged_modules._PACKAGED_DATASETS_MODULES:
        raise BadInput(f"{HUB}{repository} means files of this machine, no data set of the Hub", "give their path to --data")
    if Path(repository).exists():
        raise BadInput(f"a folder here has the same name as {HUB}{repository}", f"--data {repository} opens the folder")
    try:
        return library.load_dataset(repository, config)
    except Exception as error:  # of a dozen libraries below: no network, no such name, a script, a full disk
        hint = "without a network (or with HF_HUB_OFFLINE=1) only what its cache holds opens; HF_HOME says where the cache is"
        raise BadInput(f"cannot load {name} from the Hugging Face Hub: {_line(error)}", hint) from error


def _from_disk(library: Any, path: Path) -> Any:
    try:
        return library.load_from_disk(str(path))
    except Exception as error:  # of the files, which may hold anything
        raise DamagedFile(f"cannot open the saved data set {path}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".")


def _chosen(splits: Mapping[str, Any], spec: str) -> dict[str, Any]:
    """The splits that are known by name, as train, val and test; a data set with one split only is that one."""
    val = next((name for name in VAL if name in splits), VAL[0])
    names = {"train": "train", "val": val, "test": "test"}
    chosen = {name: splits[own] for name, own in names.items() if own in splits}
    if not chosen and len(splits) == 1:
        return {"train": next(iter(splits.values()))}
    if not chosen:
        raise BadInput(f"no split of {spec} is train, validation or test: {', '.join(splits)}")
    return chosen


def _columns(library: Any, splits: Mapping[str, Any], spec: str) -> _Columns:
    """The columns of images and classes, which must be the same in every split."""
    found = {name: _columns_of(library, data.features, spec) for name, data in splits.items()}
    first, *others = found.values()
    if any(other != first for other in others):
        raise BadInput(f"the splits of {spec} have other columns or classes: {', '.join(found)}")
    return first


def _columns_of(library: Any, features: Mapping[str, Any], spec: str) -> _Columns:
    images = [name for name, feature in features.items() if isinstance(feature, library.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, library.ClassLabel)]
    if len(labels) > 1:
        labels = [name for name in CLASSES if name in labels][:1] or labels
    columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    if len(images) != 1:
        raise BadInput(f"{len(images) or 'no'} columns of images in {spec}: {columns}", "one column of the type Image is needed")
    if len(labels) != 1:
        hint = "one column of the type ClassLabel is needed; class_encode_column makes one"
        raise BadInput(f"{len(labels) or 'no'} columns of classes in {spec}: {columns}", hint)
    return _Columns(images[0], labels[0], tuple(features[labels[0]].names))


@dataclass(frozen=True)
class Place:
    """A split of a data set. With `caches`, no image outside of these folders is opened: strangers wrote the paths."""

    split: str
    spec: str
    caches: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.split} of {self.spec}"


def _caches(library: Any) -> tuple[Path, ...]:
    """Where the library keeps what it downloads and unpacks."""
    kept = library.config
    return tuple(Path(os.path.realpath(p)) for p in (kept.HF_CACHE_HOME, kept.HF_DATASETS_CACHE, kept.DOWNLOADED_DATASETS_PATH))


def _images(library: Any, data: Any, columns: _Columns, place: Place) -> Images | None:
    """The images of one split, or None where it has no labels."""
    split, spec = place.split, place.spec
    numbers = np.asarray(data.select_columns([columns.label]).with_format("numpy")[:][columns.label])
    if not len(numbers):
        raise BadInput(f"no images in the split {split} of {spec}")
    if (numbers == UNLABELLED).all():
        return None
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= len(columns.names):
        raise BadInput(f"images without a class in the split {split} of {spec}", f"classes are 0 to {len(columns.names) - 1}")
    undecoded = data.select_columns([columns.image]).cast_column(columns.image, library.Image(decode=False)).with_format(None)
    names = [f"{split}/{i:05d}" for i in range(len(numbers))]
    read = _reader(undecoded, columns.image, place)
    return Images(
        names, numbers.astype(np.int64), lambda i: _opened(read(i), f"image {i} of {place}"), lambda i: _content(read(i))
    )


def _reader(data: Any, column: str, place: Place) -> Callable[[int], bytes | Path]:
    """What gives the bytes of an image, or its file."""

    def read(i: int) -> bytes | Path:
        cell = data[i][column] or {}
        if cell.get("bytes"):
            return bytes(cell["bytes"])
        path = Path(os.path.realpath(cell.get("path") or ""))
        if place.caches and not any(path.is_relative_to(cache) for cache in place.caches):
            raise DamagedFile(f"image {i} of {place} is a file outside of the cache: {cell.get('path')}", "it was not opened")
        if not path.is_file():
            raise DamagedFile(f"image {i} of {place} is not there: {cell.get('path')}")
        return path

    return read


def _opened(found: bytes | Path, name: str) -> Image.Image:
    return image_of(found, name) if isinstance(found, bytes) else open_image(found)


def _content(found: bytes | Path) -> bytes:
    return found if isinstance(found, bytes) else content_of(found)


def _first(images: Images | None) -> tuple[int, bool]:
    """The size to use the images at, and whether they are photographs, by the first one."""
    try:
        image = images.open(0) if images else None
    except DamagedFile:  # whether it may be left out is decided where the images are read
        image = None
    return (min(LARGEST_SIDE, max(image.size)), image.mode not in ("1", "L")) if image else (LARGEST_SIDE, True)


def _parts(parts: Mapping[str, Images | None], spec: str, seed: int, held_out: float) -> Divided | Undivided:
    if not any(parts.values()):
        raise BadInput(f"no split of {spec} has labels")
    return divided(parts.get("train"), parts.get("val"), parts.get("test"), seed, held_out)
