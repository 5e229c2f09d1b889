"""Shards from a server: each fetched whole when it comes due, checked by its hash, and kept while there is room.

They are kept by their hash, so what two sets share is there once. Several processes may want one at once: one of them fetches it.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

import msgspec
import numpy as np

from edgevit import kept, record
from edgevit.data import download, shards_index
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Shard, ShardIndex

LIMIT_GB = 50.0
AT_ONCE = 8
"""Shards that must have room: what a worker mixes, and what is fetched meanwhile."""


def means(spec: str) -> bool:
    return spec.startswith(download.SCHEMES)


def opened(spec: str) -> tuple[ShardIndex, np.ndarray, Fetched]:
    """The index at a URL, the class of every image, and where its shards will be. Raises BadInput and DamagedFile."""
    url = spec + shards_index.INDEX if spec.endswith("/") else spec
    index = _index(url)
    fetched = Fetched(url, *_room(index))
    path = fetched.file(shards_index.NUMBERS, 4 * index.samples, index.classes_sha256)
    return index, shards_index.numbers(index, path), fetched


def _index(url: str) -> ShardIndex:
    file = io.BytesIO()
    download.fetch(url, file, record.LARGEST)
    try:
        index = record.decode(file.getvalue(), ShardIndex)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedFile(f"no index of shards: {url}: {error}", "edgevit shards writes one, index.json") from error
    shards_index.require_known(index, url)
    return index


def _room(index: ShardIndex) -> tuple[Path, int]:
    """Where shards are kept, and how many bytes of them."""
    root, most = kept.own(kept.SHARDS), kept.limit("EDGEVIT_SHARDS_GB", LIMIT_GB)
    if root is None:
        raise BadInput("no folder to keep shards in", "EDGEVIT_CACHE names one that you, and nobody else, may write")
    sizes = [shard.bytes for shard in index.shards]
    needed = min(sum(sizes), AT_ONCE * max(sizes)) + 4 * index.samples
    if needed > most:
        hint = f"EDGEVIT_SHARDS_GB={needed / 1e9:.1f} at the least, or smaller shards"
        raise BadInput(f"{AT_ONCE} shards of up to {max(sizes) / 1e6:.0f} MB do not fit in {most / 1e9:g} GB", hint)
    return root, most


class Fetched:
    """Files beside an index at a URL, in the folder `root`, which holds at most so many bytes: the longest unused go first."""

    near = False

    def __init__(self, url: str, root: Path, most: int) -> None:
        self.url, self.root, self.most = url, root, most
        self._refused: dict[str, tuple[str, str]] = {}

    def path(self, shard: Shard) -> Path:
        return self.file(shard.name, shard.bytes, shard.sha256)

    def stamp(self, shard: Shard) -> object:
        return shard.sha256

    def file(self, name: str, size: int, sha256: str) -> Path:
        """The file, fetched where it is not here. Raises BadInput without a network, DamagedFile for one with another hash."""
        path = self.root / sha256
        if sha256 in self._refused:
            raise DamagedFile(*self._refused[sha256])
        if path.is_file():
            kept.used(path)
            return path
        partial = self.root / f".{sha256}.partial"
        with _alone(partial) as file:
            if not path.is_file():
                kept.make_room(self.root, size, self.most, stays=(partial,))
                self._fetch(urllib.parse.urljoin(self.url, name), file, size, sha256)
                os.replace(partial, path)
        return path

    def _fetch(self, url: str, file: BufferedRandom, size: int, sha256: str) -> None:
        """What was begun before may be of another file: then all of it is fetched once more."""
        hint = "it, or the index beside it, was changed on the server"
        problem = DamagedFile(f"not what its index says, by its sha256: {url}", hint)
        for _ in range(2 if file.seek(0, os.SEEK_END) else 1):
            try:
                download.fetch(url, file, size, size)
            except DamagedFile as error:
                problem = error
            else:
                file.seek(0)
                if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                    file.flush()
                    return
            file.truncate(0)
        self._refused[sha256] = problem.message, problem.hint
        raise problem


@contextmanager
def _alone(partial: Path) -> Iterator[BufferedRandom]:
    """The file, for one process and thread at a time."""
    partial.parent.mkdir(mode=0o700, exist_ok=True)
    with partial.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
        with suppress(OSError):  # whoever waited while another fetched it leaves an empty one
            if os.fstat(file.fileno()).st_size == 0 and partial.stat().st_ino == os.fstat(file.fileno()).st_ino:
                partial.unlink()
