"""What stages gave before, by the hash of all that it depends on: a folder for each, verified whenever it is read.

An entry holds JSON and files, never a pickle. It is written beside its place and renamed, so two processes may make the same one:
the first is kept. It is copied out and hashed where it was copied to, so nobody can take it away or change it in between.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevit import folder, kept, record
from edgevit.errors import BadInput, DamagedFile, EdgevitError
from edgevit.kept import FOLDERS, STAGES
from edgevit.kept import place as place

RECORD, SUM, FILES = "entry.json", "entry.sha256", "files"
LIMIT_GB = 5.0
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ABANDONED = 3600.0
"""Seconds after which what somebody began to write is nobody's."""


@dataclass(frozen=True)
class Entry:
    """What a stage returned, as JSON, the seconds and bytes that it took then, and sha256 of every file that it left."""

    stage: str
    value: Any
    seconds: float
    peak_bytes: int
    files: dict[str, str]


def limit_bytes(environment: Mapping[str, str] = os.environ) -> int:
    """EDGEVIT_CACHE_GB, by default 5. Raises BadInput."""
    return kept.limit("EDGEVIT_CACHE_GB", LIMIT_GB, environment)


def key(inputs: object) -> str:
    """sha256 of `inputs`, nouns and plain values, as JSON with its names in order."""
    return hashlib.sha256(json.dumps(record.builtins(inputs), sort_keys=True).encode(errors="surrogatepass")).hexdigest()


def opened(say: Callable[[str], None]) -> Cache | None:
    """The cache of this user, or None, with the reason said, where there can be none: that stops nobody."""
    root = place()
    if root is None:
        say("no cache: HOME, XDG_CACHE_HOME and EDGEVIT_CACHE name no folder; nothing is reused")
        return None
    stages = root / STAGES
    try:
        stages.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=stages, prefix="."):
            pass
        owner = stages.stat()
    except OSError as error:
        say(f"no cache: {(error.strerror or str(error)).lower()}: {root}; nothing is reused")
        return None
    if owner.st_uid != os.getuid() or owner.st_mode & 0o002:
        say(f"no cache: others may write there: {root}; nothing is reused")
        return None
    return Cache(stages, limit_bytes(), _once(say))


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """The same words once: a full disk is full for every stage."""
    said: set[str] = set()

    def new(words: str) -> None:
        if words not in said:
            said.add(words)
            say(words)

    return new


@dataclass(frozen=True)
class Cache:
    """Entries below the folder `stages`, of at most `limit` bytes together. What went wrong goes to `say`, and stops nobody."""

    stages: Path
    limit: int
    say: Callable[[str], None]

    def take(self, name: str, into: Path) -> Entry | None:
        """The entry of that key, its files copied into the empty folder `into`. None, and nothing in it, without a whole one."""
        path = self.stages / name
        if not path.is_dir():
            return None
        looked_at = _identity(path)
        try:
            entry = self._copied(path, into)
            os.utime(path)
            return entry
        except (OSError, EdgevitError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in FULL:  # where it is copied to
                raise
            if _identity(path) == looked_at:
                self.damaged(name, into)
            _empty(into)  # else another process has let go of it meanwhile, and may have made it anew
            return None

    def damaged(self, name: str, into: Path) -> None:
        """Remove an entry that is not what its hashes say, and what was copied of it."""
        _empty(into)
        if (self.stages / name).is_dir():  # else another process has just let go of it
            self.say(f"damaged in the cache, made again: {self.stages / name}")
            _remove(self.stages / name)

    def forget(self, name: str) -> None:
        """Remove an entry in whose place there is another to keep."""
        if (self.stages / name).is_dir():
            _remove(self.stages / name)

    def keep(self, name: str, entry: Entry, source: Path) -> None:
        """Keep what is in the folder `source` under that key, and let go of what was least recently used."""
        try:
            self._write(name, entry, source)
            self._let_go()
        except OSError as error:
            self.say(f"not kept in the cache: {(error.strerror or str(error)).lower()}: {self.stages}")

    def _copied(self, path: Path, into: Path) -> Entry:
        if not ((path / SUM).is_file() and (path / RECORD).is_file()):  # nor a pipe, which would be waited for
            raise DamagedFile(f"no entry: {path}")
        if folder.sha256(path / RECORD) != (path / SUM).read_text():
            raise DamagedFile(f"changed: {path / RECORD}")
        entry = record.read(path / RECORD, Entry)
        for name in entry.files:
            _copy(path / FILES, name, into)
        if folder.hashes(into) != entry.files:
            raise DamagedFile(f"changed: {path}")
        return entry

    def _write(self, name: str, entry: Entry, source: Path) -> None:
        """Not synced: what a power cut leaves half written is found by its hash."""
        with tempfile.TemporaryDirectory(dir=self.stages, prefix=".", ignore_cleanup_errors=True) as scratch:
            new = Path(scratch) / name
            shutil.copytree(source, new / FILES)
            record.write(new / RECORD, entry)
            (new / SUM).write_text(folder.sha256(new / RECORD))
            try:
                os.rename(new, self.stages / name)
            except OSError as error:
                if error.errno not in TAKEN:  # else another process has made the same one, and may have let go of it since
                    raise

    def _let_go(self) -> None:
        """Remove the least recently used entries above the limit, and what was abandoned half written."""
        for left in self.stages.glob(".*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > ABANDONED:
                    shutil.rmtree(left, ignore_errors=True)
        total = 0
        for path, _, size in sorted(entries(self.stages), key=lambda found: found[1], reverse=True):
            total += size
            if total > self.limit:
                _remove(path)


def entries(stages: Path) -> list[tuple[Path, float, int]]:
    """Every entry with the time it was last used (seconds since the epoch) and its bytes. Those that vanish meanwhile are not."""
    found = []
    for path in stages.glob("[!.]*"):
        with contextlib.suppress(OSError):
            found.append((path, path.stat().st_mtime, folder.size(path)))
    return found


def held(root: Path) -> tuple[int, int]:
    """How many entries the cache at `root` holds, and their bytes: of stages, of decoded pixels, and shards that were fetched."""
    found = [entry for name in FOLDERS for entry in (entries(root / name) if name == STAGES else kept.entries(root / name))]
    return len(found), sum(size for *_, size in found)


def clear(root: Path) -> tuple[int, int]:
    """Remove every entry of the cache at `root`: how many there were, and their bytes. Raises OSError."""
    for name in FOLDERS:
        if (root / name).is_symlink():
            raise BadInput(f"a link, and no folder of edgevit's: {root / name}")
    gone = held(root)
    for name in FOLDERS:
        if (root / name).exists():
            shutil.rmtree(root / name)
    return gone


def _identity(path: Path) -> tuple[int, int] | None:
    """Of an entry as it was written once, whoever has read it since; None where it is gone, or no entry."""
    try:
        written = (path / SUM).stat()
    except OSError:
        return None
    return written.st_ino, written.st_ctime_ns


def _remove(path: Path) -> None:
    """Out of sight in one step, then gone: nobody finds half an entry."""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as aside:
        os.rename(path, Path(aside) / "gone")


def _copy(source: Path, name: str, into: Path) -> None:
    """Copy one file. Raises DamagedFile for a name that leads out of the folder."""
    if os.path.isabs(name) or os.pardir in name.split("/"):
        raise DamagedFile(f"a path out of its folder: {name}")
    (into / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / name, into / name, follow_symlinks=False)


def _empty(into: Path) -> None:
    for left in into.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
