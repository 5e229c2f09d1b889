"""A folder per class with JPEG, PNG or WebP images, or such folders below `train`, `val` and `test`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgevit.data.dataset import Dataset, Divided, Images, Undivided, divided
from edgevit.data.decoding import content_of, open_image, stamp_of
from edgevit.errors import BadInput

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
VAL = ("val", "validation", "valid")
NATIVE_SIZE = 224


def recognises(spec: str) -> bool:
    return Path(spec).is_dir()


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    """Folders `train` and `val` (or `validation`, `valid`) and `test` are the splits; without `val`, `test` is held out."""
    labels, parts = _open(Path(spec), seed, held_out)
    return Dataset(spec, labels, parts, NATIVE_SIZE, photos=True)


def _open(root: Path, seed: int, held_out: float) -> tuple[tuple[str, ...], Divided | Undivided]:
    splits = _splits(root)
    if len(splits) < 2:
        labels, images = _scan(root / "train" if _names(root) == ["train"] else root)
        return labels, Undivided(images, seed, held_out)
    scanned = {name: _scan(root / name) for name in splits}
    labels, train = scanned.pop("train")
    for name, (others, _) in scanned.items():
        if others != labels:
            differ = sorted(set(labels) ^ set(others))
            raise BadInput(f"{root}: classes in only one of train and {name}: {', '.join(differ[:5])}")
    rest = {name: images for name, (_, images) in scanned.items()}
    test = rest.pop("test", None)
    return labels, divided(train, next(iter(rest.values()), None), test, seed, held_out)


def _splits(root: Path) -> tuple[str, ...]:
    """The folders that are splits: `train` first, and none at all where there is no `train`.

    Test images that lie beside `val` without a folder per class are a contest's, without labels: they are no split.
    """
    if not (root / "train").is_dir():
        return ()
    val = [name for name in VAL if (root / name).is_dir()]
    if len(val) > 1:
        raise BadInput(f"more than one folder of validation images in {root}: {', '.join(val)}", "keep one, rename the others")
    test = ["test"] if (root / "test").is_dir() and (not val or _names(root / "test")) else []
    return ("train", *val, *test)


def _names(root: Path) -> list[str]:
    """The folders in `root` that count, in the order of their names."""
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def _scan(root: Path) -> tuple[tuple[str, ...], Images]:
    """Labels and images of a folder with a folder per class, in the order of their names."""
    folders = [root / name for name in _names(root)]
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
    return tuple(c.name for c in folders), of_files(names, classes, files)


def of_files(names: list[str], classes: np.ndarray, files: list[Path]) -> Images:
    """The images that these files are."""
    return Images(names, classes, lambda i: open_image(files[i]), lambda i: content_of(files[i]), lambda i: stamp_of(files[i]))
