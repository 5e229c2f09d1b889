"""How much memory work may still take here, by the machine and its container; limits for it, and what was freed given back."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

UNLIMITED = 1 << 60
"""Bytes; what version 1 of the groups says where nothing is limited is some number above it."""


def available(root: Path = Path("/")) -> int | None:
    """Bytes that new processes can take without swapping; None where the system does not say (macOS, Windows).

    The least of MemAvailable and of what each control group above this process, of either version, has left.
    """
    try:
        fields = _fields(root / "proc/meminfo")
        return min(fields["MemAvailable"] << 10, *_left_by_groups(root), UNLIMITED)
    except (OSError, KeyError, ValueError, IndexError):
        return None


def hold_to(most: int) -> None:
    """Let this process ask for no more than so many bytes: a file may claim any size."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    except (ImportError, OSError, ValueError):  # Windows has none, and macOS takes none
        return


def trim() -> None:
    """Give back to the system what was freed, and what was read of mapped weights: it is read again once it is asked for.

    glibc keeps what was freed: half a gigabyte after a B/16 was rewritten, or was a graph.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError, ValueError):  # another library, another system
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for start, end in _read_alone():
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), DONTNEED)


DONTNEED = 4
"""Linux's MADV_DONTNEED. It would undo what was written into private memory, so that is left alone."""
WEIGHTS = ".safetensors"


def _read_alone() -> Iterator[tuple[int, int]]:
    """From where to where weights are mapped that nothing was written into."""
    start, end, weights = 0, 0, False
    for line in Path("/proc/self/smaps").read_text(errors="replace").splitlines():
        first, *words = line.split(maxsplit=5)
        if not first.endswith(":"):
            start, end = (int(place, 16) for place in first.split("-"))
            weights = bool(words) and words[-1].endswith(WEIGHTS)
        elif weights and first == "Anonymous:" and words[0] == "0":
            yield start, end


def _fields(file: Path) -> dict[str, int]:
    """Lines "name number" or "name: number kB"."""
    return {words[0].rstrip(":"): int(words[1]) for line in file.read_text().splitlines() if len(words := line.split()) > 1}


def _left_by_groups(root: Path) -> Iterator[int]:
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _left(root / "sys/fs/cgroup", group, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(root / "sys/fs/cgroup/memory", group, *names)


def _left(mount: Path, group: str, limit: str, used: str, cached: str) -> Iterator[int]:
    """What `group` and each one above it has left. Files that were read count as used, and are let go when memory is wanted.

    In a container the path is often the host's, and only the mount itself is there.
    """
    place = mount / group.lstrip("/")
    for folder in (place, *place.parents):
        if not folder.is_relative_to(mount):
            return
        try:
            most = (folder / limit).read_text().strip()
            if most != "max" and int(most) < UNLIMITED:
                yield int(most) - int((folder / used).read_text()) + _fields(folder / "memory.stat").get(cached, 0)
        except OSError:
            continue
