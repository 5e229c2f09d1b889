"""What is in files, by hash: hashed once, and again when the file system says that they were changed.

A file counts as unchanged while its path, size, times of content and of record, and inode are; that is what git goes by. What was
changed within the last seconds is hashed each time: the clock of a file system is too coarse to tell two such changes apart.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from edgevit import cache as caches
from edgevit import folder, record
from edgevit.cache import Cache, Entry
from edgevit.data import BUILT_IN, HUB, rows, shards_index
from edgevit.versions import versions

T = TypeVar("T")
CLASSES = "classes.csv"
"""Beside a table of images: what its classes are called."""
SETTLED = 2.0
"""Seconds after which a change of a file is seen by its times."""


@dataclass(frozen=True)
class Contents:
    """Hashes of what files hold. Without a cache all are hashed each time."""

    cache: Cache | None

    def file(self, path: Path) -> str:
        """sha256 of one file's bytes."""
        return self._known(path, [path], lambda: folder.sha256(path))

    def of(self, path: Path) -> str:
        """sha256 of a file, or of the names and contents of all files below a folder. Empty where there is none."""
        if not path.exists():
            return ""
        files = [path] if path.is_file() else _below(path)
        return self._of_files(path if path.is_dir() else path.parent, files)

    def images(self, spec: str) -> str:
        """Of the images that `spec` means; empty where that cannot be told without fetching them, as of the Hub."""
        if spec in BUILT_IN:
            return json.dumps([spec, versions("scikit-learn")])
        path = Path(spec)
        if spec.startswith(HUB) or not path.exists():
            return ""
        if path.is_dir() and shards_index.is_ours(path):  # it names every shard by its hash
            return self.file(path / shards_index.INDEX)
        if path.is_file() and path.suffix.lower() in rows.SUFFIXES:
            return self._of_files(path.parent, [path, *_named(path)])
        return self.of(path)

    def _of_files(self, root: Path, files: list[Path]) -> str:
        return self._known(root, files, lambda: _hash(root, files))

    def _known(self, root: Path, files: list[Path], hashed: Callable[[], str]) -> str:
        """What `hashed` gives, or gave when these files looked as they do now."""
        stats = [(os.path.relpath(file, root), os.stat(file)) for file in files]
        looks = [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for name, s in stats]
        whole = "file" if files == [root] else "files"
        name = caches.key({"stage": "contents", "of": whole, "root": str(root.resolve()), "looks": looks})
        settled = all(time.time() - max(s.st_mtime, s.st_ctime) > SETTLED for _, s in stats)
        if self.cache and settled and (known := taken(self.cache, name, str)):
            return known
        found = hashed()
        if self.cache and settled:
            keep(self.cache, name, "contents", found)
        return found


def taken(cache: Cache, name: str, kind: type[T]) -> T | None:
    """The value of an entry that has no files. None without one, and for a damaged one, which is removed."""
    with tempfile.TemporaryDirectory(prefix="edgevit-") as nothing:
        entry = cache.take(name, Path(nothing))
        try:
            return msgspec.convert(entry.value, kind, dec_hook=record._rich) if entry else None
        except msgspec.ValidationError:
            cache.damaged(name, Path(nothing))
            return None


def keep(cache: Cache, name: str, stage: str, value: object) -> None:
    """Keep a value without files, in place of an older one: who measures anew wants the new figure."""
    cache.forget(name)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as nothing:
        cache.keep(name, Entry(stage, record.builtins(value), 0.0, 0, {}), Path(nothing))


def _below(root: Path) -> list[Path]:
    """All files, also behind links to folders, each folder once: a link may lead to where it stands."""
    found, seen = [], set()
    for at, inner, names in os.walk(root, followlinks=True):
        if (here := os.path.realpath(at)) in seen:
            inner.clear()
            continue
        seen.add(here)
        found += [Path(at) / name for name in names if os.path.isfile(os.path.join(at, name))]  # nor a pipe
    return sorted(found)


def _named(table: Path) -> Iterable[Path]:
    """Every file that a table of images names in any of its columns, and what stands beside it."""
    cells = {str(cell).strip() for row in rows.read(table) for cell in row.cells.values() if isinstance(cell, str | int)}
    named = {os.path.join(table.parent, cell) for cell in (*cells, CLASSES) if cell}
    return sorted(Path(file) for file in named if os.path.isfile(file) and Path(file) != table)


def _hash(root: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{folder.sha256(file)}  {os.path.relpath(file, root)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
