"""A flatbuffer that nobody trusts: every offset and length is looked at before it is followed.

ExecuTorch's programs, the graphs of its delegates and TFLite's models are flatbuffers. A table has fields in slots; its vtable
says where each lies, and one that is absent has its default. Source: flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path

from edgevit.errors import DamagedFile, from_os_error

MOST = 2_000_000
"""Tables that are read of a file: a model has some ten thousand, and a hostile one may name the same table a million times."""
LONGEST = 4_000
"""Bytes of a text that is kept."""


@dataclass
class Flatbuffer:
    """The bytes of one, which may lie within others: offsets count from `start`, and nothing behind `end` is read."""

    data: bytes | mmap
    name: str
    start: int = 0
    end: int = -1
    left: int = field(default=MOST)

    def __post_init__(self) -> None:
        self.end = len(self.data) if self.end < 0 else self.end

    def within(self, start: int, size: int, name: str) -> Flatbuffer:
        """So many bytes of it, from `start`, as a flatbuffer of their own. Raises DamagedFile where they are not there."""
        self.require(start, size)
        return Flatbuffer(self.data, f"{name} in {self.name}", self.start + start, self.start + start + size, self.left)

    def require(self, start: int, size: int) -> None:
        """Raise DamagedFile unless so many bytes are there."""
        if start < 0 or size < 0 or self.start + start + size > self.end:
            raise DamagedFile(f"cut or damaged: {self.name}: {size} bytes at {start} end behind its end")

    def read(self, start: int, size: int) -> bytes:
        self.require(start, size)
        return self.data[self.start + start : self.start + start + size]

    def numbers(self, kind: str, start: int, count: int = 1) -> tuple[int | float, ...]:
        """Numbers as `struct` names their kind, little-endian."""
        self.require(start, struct.calcsize(f"<{kind}") * count)
        return struct.unpack_from(f"<{count}{kind}", self.data, self.start + start)

    def integer(self, kind: str, start: int) -> int:
        return int(self.numbers(kind, start)[0])

    def root(self) -> Table:
        return self.table(self.integer("I", 0))

    def table(self, at: int) -> Table:
        self.left -= 1
        if self.left < 0:
            raise DamagedFile(f"damaged: {self.name}: more than {MOST} tables")
        fields = at - self.integer("i", at)
        return Table(self, at, fields, self.integer("H", fields))


@dataclass(frozen=True)
class Vector:
    """Where its items begin, and how many there are."""

    at: int
    count: int


@dataclass(frozen=True)
class Table:
    """A table at an offset, with its vtable at another, of so many bytes."""

    file: Flatbuffer
    at: int
    fields: int
    size: int

    def place(self, slot: int) -> int | None:
        """The offset of a field; None where it is absent."""
        entry = 4 + 2 * slot
        offset = self.file.integer("H", self.fields + entry) if entry + 2 <= self.size else 0
        return self.at + offset if offset else None

    def integer(self, slot: int, kind: str, default: int = 0) -> int:
        place = self.place(slot)
        return default if place is None else self.file.integer(kind, place)

    def real(self, slot: int, kind: str = "f", default: float = 0.0) -> float:
        place = self.place(slot)
        return default if place is None else float(self.file.numbers(kind, place)[0])

    def table(self, slot: int) -> Table | None:
        place = self.place(slot)
        return None if place is None else self.file.table(self._follow(place))

    def vector(self, slot: int, size: int) -> Vector:
        """A vector of items of so many bytes; of none where it is absent."""
        place = self.place(slot)
        if place is None:
            return Vector(0, 0)
        at = self._follow(place)
        found = Vector(at + 4, self.file.integer("I", at))
        self.file.require(found.at, found.count * size)
        return found

    def tables(self, slot: int) -> Iterator[Table]:
        found = self.vector(slot, 4)
        for place in range(found.at, found.at + 4 * found.count, 4):
            yield self.file.table(self._follow(place))

    def integers(self, slot: int, kind: str) -> tuple[int, ...]:
        found = self.vector(slot, struct.calcsize(f"<{kind}"))
        return tuple(map(int, self.file.numbers(kind, found.at, found.count)))

    def reals(self, slot: int, kind: str = "f") -> tuple[float, ...]:
        found = self.vector(slot, struct.calcsize(f"<{kind}"))
        return tuple(map(float, self.file.numbers(kind, found.at, found.count)))

    def text(self, slot: int) -> str:
        """Its beginning, where it is long."""
        found = self.vector(slot, 1)
        return self.file.read(found.at, min(found.count, LONGEST)).decode(errors="replace")

    def _follow(self, place: int) -> int:
        return place + self.file.integer("I", place)


def opened(path: Path) -> Flatbuffer:
    """The file at `path`, mapped: of a large one only what is looked at is read. Raises BadInput, DamagedFile."""
    try:
        with path.open("rb") as file:
            return Flatbuffer(mmap(file.fileno(), 0, access=ACCESS_READ), str(path))
    except ValueError as error:
        raise DamagedFile(f"an empty file: {path}") from error
    except OSError as error:
        raise from_os_error(error) from error
