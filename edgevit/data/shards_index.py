"""What a folder of shards holds: by its `index.json`, or by one look at the headers of all archives where others wrote them.

Samples are WebDataset's: members one after the other with the same name up to its first dot are one, and what follows the dot
says what each is. Of a sample, the one image and the class number in `.cls` are read; no other member is ever opened.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevit import folder, record
from edgevit.data.shards_tar import Member, members
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Shard, ShardIndex

INDEX, NUMBERS, NAMES = "index.json", "classes.u32", "classes.txt"
FORMAT = "edgevit shards 1"
SUFFIX = ".tar"
IMAGES = ("jpg", "jpeg", "png", "webp")
CLASS = "cls"
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.tar", re.ASCII)
VAL = ("val", "validation", "valid")
FOLDERS = ("train", *VAL, "test")
NATIVE_SIZE = 224
META = re.compile(r"__[^/]*__($|/)")
SPLIT = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)


@dataclass(frozen=True)
class Listed:
    """Where the images of a shard lie in it: members, offsets and sizes in bytes, and their classes."""

    members: list[str]
    offsets: list[int]
    sizes: list[int]
    classes: np.ndarray


def is_ours(path: Path) -> bool:
    """Whether the folder holds an index of edgevit's: others call theirs so, too."""
    try:
        with (path / INDEX).open("rb") as file:
            return b'"edgevit shards' in file.read(200)
    except OSError:
        return False


def archives(root: Path) -> list[Path]:
    """The archives of a folder that holds nothing but those of one data set, in it or in folders for its parts; else none."""
    inside = _seen(root)
    parts = [path for path in inside if path.is_dir() and path.name in FOLDERS]
    beside = [path for path in (*inside, *(file for part in parts for file in _seen(part))) if path not in parts]
    if any(path.is_dir() or path.suffix.lower().lstrip(".") in IMAGES for path in beside):
        return []
    return [path for path in beside if path.suffix == SUFFIX and path.is_file()]


def _seen(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if not path.name.startswith("."))


def require_known(index: ShardIndex, where: str) -> None:
    """Raise DamagedFile for an index of another form, and for names that lead elsewhere."""
    if index.format != FORMAT:
        raise DamagedFile(f"not {FORMAT!r} but {index.format[:40]!r}: {where}", "another version of edgevit wrote it")
    if odd := [shard.name for shard in index.shards if not PLAIN.fullmatch(shard.name)]:
        raise DamagedFile(f"a shard that is not a plain name: {odd[0]!r} in {where}")
    hashes = [index.classes_sha256, *(shard.sha256 for shard in index.shards)]
    if odd := [digest for digest in hashes if not re.fullmatch("[0-9a-f]{64}", digest)]:
        raise DamagedFile(f"no sha256: {odd[0][:80]!r} in {where}")


def read(root: Path) -> tuple[ShardIndex, np.ndarray]:
    """The index of a folder, and the class of every image. Raises DamagedFile where a shard is absent or of another size."""
    index = record.read(root / INDEX, ShardIndex)
    require_known(index, str(root / INDEX))
    for shard in index.shards:
        there = (root / shard.name).stat().st_size if (root / shard.name).is_file() else None
        if there is None:
            raise DamagedFile(f"no such shard: {root / shard.name}", f"{root / INDEX} names it")
        if there != shard.bytes:
            raise DamagedFile(f"{root / shard.name} has {there} bytes, and by its index {shard.bytes}")
    return index, numbers(index, root / NUMBERS)


def numbers(index: ShardIndex, path: Path) -> np.ndarray:
    """The class of every image (samples) by the file that the index goes with."""
    if not path.is_file() or path.stat().st_size != 4 * index.samples or folder.sha256(path) != index.classes_sha256:
        raise DamagedFile(f"not the classes of the {index.samples} images of its index: {path}")
    found = np.fromfile(path, "<u4").astype(np.int64)
    if found.max() >= len(index.labels):
        raise DamagedFile(f"class number {found.max()} in {path}, whose index has {len(index.labels)} classes")
    return found


def scanned(root: Path) -> tuple[ShardIndex, list[Listed]]:
    """The index of archives that others wrote. Their names say which part they are, and `classes.txt` what classes are called."""
    paths = archives(root)
    found = [listed(path) for path in paths]
    present = np.unique(np.concatenate([one.classes for one in found]))
    labels = _labels(root, present)
    shards = [
        Shard(path.relative_to(root).as_posix(), _part(path.relative_to(root)), path.stat().st_size, "", len(one.members))
        for path, one in zip(paths, found, strict=True)
    ]
    named = (root / NAMES).is_file()
    return ShardIndex(FORMAT, labels, named, NATIVE_SIZE, True, 0, "", tuple(shards)), found


def _part(path: Path) -> str:
    words = set(re.split(r"[^a-z]+", path.as_posix().lower()))
    return "val" if words & set(VAL) else "test" if "test" in words else "train"


def _labels(root: Path, present: np.ndarray) -> tuple[str, ...]:
    """The lines of `classes.txt`, or the numbers."""
    if (root / NAMES).is_file():
        try:
            lines = tuple(line.strip() for line in (root / NAMES).read_text(encoding="utf-8-sig").splitlines())
        except UnicodeDecodeError as error:
            raise DamagedFile(f"not text in UTF-8: {root / NAMES}", f"byte {error.start}: {error.reason}") from error
        labels = lines[:-1] if lines and not lines[-1] else lines
        if present[-1] >= len(labels):
            raise BadInput(f"class {present[-1]} of {root} is not in {root / NAMES}", f"its {len(labels)} lines name 0 and on")
        return labels
    missing = np.flatnonzero(present != np.arange(len(present)))
    if len(missing):
        hint = f"classes count from 0 without gaps, or the lines of a {NAMES} beside the shards name them all"
        raise BadInput(f"no image of class {missing[0]} in {root}, but of class {present[missing[0]]}", hint)
    return tuple(str(number) for number in present)


def listed(path: Path) -> Listed:
    """All images of an archive, by its headers. Raises DamagedFile for a sample without an image or a class."""
    found = Listed([], [], [], np.empty(0, np.int64))
    classes = []
    for key, parts in _samples(path):
        images = [parts[kind] for kind in IMAGES if kind in parts]
        if len(images) != 1:
            hint = f"beside {key}.{CLASS} one of {', '.join(f'.{kind}' for kind in IMAGES)} is expected"
            raise DamagedFile(f"{len(images) or 'no'} images in the sample {key!r} of {path}", hint)
        if CLASS not in parts:
            raise DamagedFile(f"no class of {images[0].name!r} of {path}", f"{key}.{CLASS} is expected to hold its number")
        classes.append(_number(parts[CLASS], path))
        found.members.append(images[0].name)
        found.offsets.append(images[0].offset)
        found.sizes.append(images[0].size)
    if not classes:
        raise DamagedFile(f"no images in {path}")
    return Listed(found.members, found.offsets, found.sizes, np.array(classes, np.int64))


def _samples(path: Path) -> Iterator[tuple[str, dict[str, Member]]]:
    """The samples of an archive with their members by what they are."""
    key, parts = "", dict[str, Member]()
    for member in members(path):
        name = SPLIT.fullmatch(member.name)
        if not name or META.match(member.name):
            continue
        kind = name[2].lower()
        if name[1] != key:
            if parts:
                yield key, parts
            key, parts = name[1], {}
        if kind in parts:
            raise DamagedFile(f"twice in one sample: {member.name!r} of {path}")
        parts[kind] = member
    if parts:
        yield key, parts


def _number(member: Member, path: Path) -> int:
    text = member.start.strip()
    if member.size > len(member.start) or not re.fullmatch(rb"[0-9]{1,9}", text):
        raise DamagedFile(f"not a class number but {text[:40]!r}: {member.name!r} of {path}", "a whole number from 0 is expected")
    return int(text)


class Listings:
    """The images of each shard, found when it is first asked for. Threads may ask at once."""

    def __init__(self, index: ShardIndex, classes: np.ndarray, known: list[Listed] | None = None) -> None:
        self._index, self._found = index, dict(enumerate(known or ()))
        self._classes = np.split(classes, np.cumsum([shard.samples for shard in index.shards])[:-1])
        self._locks = [threading.Lock() for _ in index.shards]

    def __call__(self, number: int, path: Path) -> Listed:
        """Raises DamagedFile where the shard at `path` holds other images than the index says."""
        with self._locks[number]:
            if number not in self._found:
                found = listed(path)
                if not np.array_equal(found.classes, self._classes[number]):
                    raise DamagedFile(f"other images than its index says: {self._index.shards[number].name}: {path}")
                self._found[number] = found
            return self._found[number]
