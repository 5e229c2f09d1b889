"""Folders that are written whole or not at all, and hashes of what is in them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from edgevit.errors import BadInput, DamagedFile, from_os_error


@contextlib.contextmanager
def written_whole(path: Path, marker: str, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the block ends well, and vanishes when it does not.

    An existing `path` stays untouched until then. It is replaced only with `force`, and only where it holds a file named
    `marker` (or nothing): a mistyped --out never costs somebody a folder that edgevit did not make. Raises BadInput.
    """
    refuse_existing(path, marker, force)
    path = path.resolve()  # where `path` is a link, what it leads to is replaced, and the link stays
    partial = path.parent / f".{path.name}.{os.getpid()}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    except OSError as error:
        raise from_os_error(error) from error
    try:
        yield partial
        _sync(partial)
        put_in_place(partial, path)
    except OSError as error:
        raise from_os_error(error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def files_written_whole(path: Path) -> Iterator[Path]:
    """Yield an empty folder whose files move into the folder `path`, made where absent, when the block ends well."""
    scratch = path / ".files"
    with written_whole(scratch, "", force=True) as partial:
        yield partial
    for file in sorted(scratch.iterdir()):
        os.replace(file, path / file.name)
    scratch.rmdir()


def write_whole(path: Path, content: bytes) -> None:
    """Let the file `path` hold `content`, or what it held before."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def refuse_existing(path: Path, marker: str, force: bool) -> None:
    """Raise BadInput where `path` exists and may not be replaced, or where nothing may be made."""
    if not os.path.lexists(path):
        _refuse_place(path)
        return
    if not path.is_dir():
        raise BadInput(f"not a folder: {path}", "choose another --out")
    if not any(path.iterdir()):
        return
    if not force:
        raise BadInput(f"already exists: {path}", "--force replaces it when the new one is whole")
    if not (path / marker).exists():
        raise BadInput(f"not replaced, since it holds no {marker}: {path}", "edgevit did not make it; choose another --out")


def _refuse_place(path: Path) -> None:
    """Raise BadInput where `path` cannot be made: that is better known before the work than after it."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise BadInput(f"not a folder: {above}", "choose another --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise BadInput(f"not writable: {above}", "choose a place that you may write, or another --out")


def put_in_place(new: Path, path: Path) -> None:
    """Make `new` be `path` in one step; what was at `path` is removed after, and whole until then.

    It is removed under a name that nothing takes for a run or an artifact: whoever is killed meanwhile leaves a part of it.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.previous")
    shutil.rmtree(aside, ignore_errors=True)
    if not path.exists() or not any(path.iterdir()):
        os.replace(new, path)
    else:
        if _exchange(new, path):
            os.replace(new, aside)
        else:
            os.replace(path, aside)
            os.replace(new, path)
        shutil.rmtree(aside)
    _remove_abandoned(path)
    _sync_directory(path.parent)


def keep_linked(path: Path, kept: Path) -> None:
    """Make `kept` hold the very files of the folder `path`, whole or not at all; nothing is copied where links can be made."""
    with written_whole(kept, "", force=True) as partial:
        for file in path.iterdir():
            try:
                os.link(file, partial / file.name)
            except OSError:
                shutil.copyfile(file, partial / file.name)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step where the system can: renameat2 on Linux, renamex_np on macOS."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD; RENAME_EXCHANGE and RENAME_SWAP are both 2
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(os.fsencode(a), os.fsencode(b), swap)
        else:
            failed = libc.renameat2(here, os.fsencode(a), here, os.fsencode(b), swap)
    except AttributeError:
        return False
    if failed and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))
    return not failed


def _remove_abandoned(path: Path) -> None:
    """Remove what killed processes left beside `path`, and only that: another writer may be at work.

    Where `path` is gone, the one before it is the last that there is, and stays.
    """
    for kind in ("partial", "previous") if path.exists() else ("partial",):
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.{kind}"):
            pid = left.name.removesuffix(f".{kind}").rpartition(".")[2]
            if pid.isdigit() and not alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether a process of this machine has that number; it may be another's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync(folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    _sync_directory(folder)


def _sync_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Hash of a file; of a folder, the hash of its sorted lines "hash  relative path"."""
    if path.is_dir():
        lines = "".join(f"{digest}  {name}\n" for name, digest in hashes(path).items())
        return hashlib.sha256(lines.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes(folder: Path, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """sha256 of every file below `folder` by its relative path, sorted. A link is refused: it points out of our sight."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink():
            raise DamagedFile(f"a symbolic link where only files belong: {file}")
        if file.is_file() and name not in leave_out:
            found[name] = sha256(file)
    return found


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
