"""Arrays of images and class numbers in an .npz of numpy.

Three sets of names: `train_images`, `train_labels`, `test_images`, `test_labels`; Keras's `x_train`, `y_train`, `x_test`,
`y_test`; or `images` and `labels`, without a split. `classes`, where it is there, names the classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from edgevit.data import arrays
from edgevit.data.arrays import Header
from edgevit.data.dataset import Dataset, Images, divided
from edgevit.errors import BadInput

Pair = tuple[str, str]
"""The names of the images and of their labels."""

FORMS: tuple[tuple[Pair, Pair | None], ...] = (
    (("train_images", "train_labels"), ("test_images", "test_labels")),
    (("x_train", "y_train"), ("x_test", "y_test")),
    (("images", "labels"), None),
)
"""To train on, and held out."""
NAMES = "classes"
CHANNELS = (1, 3, 4)
MOST_CLASSES = 1 << 20


def recognises(spec: str) -> bool:
    return Path(spec).is_file() and Path(spec).suffix == ".npz"


def open_source(spec: str, seed: int, held_out: float) -> Dataset:
    """Images (N, H, W, 3), (N, H, W, 4), (N, H, W, 1) or (N, H, W) of uint8, labels (N) or (N, 1) of whole numbers from 0.

    Coloured images are taken for photographs. Raises BadInput for arrays of another type or shape, DamagedFile for a cut or
    hostile file; types and sizes are checked before anything is unpacked.
    """
    path = Path(spec)
    found = arrays.headers(path)
    train, aside = _form(found, path)
    for images, labels in filter(None, (train, aside)):
        _check(images, labels, found, path)
    names = _names(found, path)
    parts = [_images(path, pair) for pair in (train, aside) if pair]
    labels_ = _numbers(parts, path) if names is None else names
    _require_known(parts, labels_, path)
    _, height, width, *channels = found[train[0]].shape
    split = divided(parts[0], None, parts[1] if aside else None, seed, held_out)
    return Dataset(spec, labels_, split, max(height, width), photos=channels in ([3], [4]), named=names is not None)


def _form(present: Collection[str], path: Path) -> tuple[Pair, Pair | None]:
    """The names of the arrays to train on and, where they are there, of those held out."""
    forms = [form for form in FORMS if form[0][0] in present]
    if len(forms) != 1:
        found = ", ".join(sorted(present)[:8]) or "no array"
        hint = f"expected one of: {'; '.join(f'{images}, {labels}' for (images, labels), _ in FORMS)}"
        raise BadInput(f"{'more than one set of images' if forms else 'no images'} in {path}: {found}", hint)
    train, aside = forms[0]
    if aside and not any(name in present for name in aside):
        aside = None
    if absent := [name for name in (*train, *(aside or ())) if name not in present]:
        raise BadInput(f"missing from {path}: {', '.join(absent)}")
    return train, aside


def _check(images: str, labels: str, found: Mapping[str, Header], path: Path) -> None:
    _check_images(found[images], f"{images} of {path}")
    _check_labels(found[labels], f"{labels} of {path}")
    if found[images].shape[0] != found[labels].shape[0]:
        raise BadInput(f"{found[images].shape[0]} images but {found[labels].shape[0]} labels in {path}: {images}, {labels}")


def _check_images(header: Header, place: str) -> None:
    shape = header.shape
    if header.dtype != np.uint8:
        kind = "objects" if header.dtype.hasobject else str(header.dtype)
        raise BadInput(f"images of {kind}, not uint8: {place}", "save them as whole numbers from 0 to 255, without objects")
    if len(shape) == 4 and shape[1] in CHANNELS:
        what = "cannot tell the channels" if shape[3] in CHANNELS else "the channels come first"
        raise BadInput(f"{what}: {place}: {shape}", "put them last: images.transpose(0, 2, 3, 1), of 5 pixels or more a side")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in CHANNELS):
        raise BadInput(f"no images of 1, 3 or 4 channels: {place}: {shape}", "expected (N, H, W, 3) or (N, H, W)")
    if 0 in shape:
        raise BadInput(f"no images in {place}: {shape}")


def _check_labels(header: Header, place: str) -> None:
    if header.dtype.kind not in "iu":
        kind = "objects" if header.dtype.hasobject else str(header.dtype)
        raise BadInput(f"labels of {kind}, not whole numbers: {place}", "save the numbers of the classes, as integers")
    if not header.shape or header.shape[1:] not in ((), (1,)):
        raise BadInput(f"not one class number an image: {place}: {header.shape}", "of one-hot rows take labels.argmax(axis=1)")


def _images(path: Path, pair: Pair) -> Images:
    pixels, classes = (arrays.read(path, name) for name in pair)
    if pixels.ndim == 4 and pixels.shape[3] == 1:
        pixels = pixels[..., 0]
    names = [f"{pair[0]}/{i:05d}" for i in range(len(pixels))]
    return Images(names, classes.reshape(-1).astype(np.int64), lambda i: Image.fromarray(pixels[i]))


def _names(found: Mapping[str, Header], path: Path) -> tuple[str, ...] | None:
    """The names of the classes, where the file has them."""
    if NAMES not in found:
        return None
    header = found[NAMES]
    if header.dtype.kind not in "US" or len(header.shape) != 1:
        kind = "objects" if header.dtype.hasobject else f"{header.dtype} {header.shape}"
        raise BadInput(f"no row of names but {kind}: {NAMES} of {path}", "save them as text: np.array(names)")
    if header.shape[0] > MOST_CLASSES:
        raise BadInput(f"{header.shape[0]} names of classes in {path}", f"more than {MOST_CLASSES} are not believed")
    names = arrays.read(path, NAMES)
    try:
        return tuple(str(name) for name in (np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names))
    except UnicodeDecodeError as error:
        raise BadInput(f"names that are not UTF-8: {NAMES} of {path}", str(error)) from error


def _numbers(parts: list[Images], path: Path) -> tuple[str, ...]:
    """Class numbers as labels. A number that no image has may be a mistake, so it wants names that say it is none."""
    present = np.unique(np.concatenate([part.classes for part in parts]))
    missing = np.flatnonzero(present != np.arange(len(present)))
    if len(missing) and present[0] >= 0:
        hint = f"classes count from 0 without gaps, or the array {NAMES} names them all"
        raise BadInput(f"no image of class {missing[0]} in {path}, but of class {present[missing[0]]}", hint)
    return tuple(str(number) for number in range(len(present)))


def _require_known(parts: list[Images], labels: tuple[str, ...], path: Path) -> None:
    for part in parts:
        wrong = part.classes[(part.classes < 0) | (part.classes >= len(labels))]
        if len(wrong):
            raise BadInput(f"class number {wrong[0]} in {path}, whose classes are 0 to {len(labels) - 1}")
