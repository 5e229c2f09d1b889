"""The values of a method of an ExecuTorch program: what goes in and out, constants, and what a constant method answers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from edgevit.errors import DamagedFile
from edgevit.types import Port
from targets.files.parts import Constant
from targets.files.tables import Flatbuffer, Table

TYPES = {
    0: ("uint8", "B"), 1: ("int8", "b"), 2: ("int16", "h"), 3: ("int32", "i"), 4: ("int64", "q"), 5: ("float16", "e"),
    6: ("float32", "f"), 7: ("float64", "d"), 11: ("bool", "?"), 12: ("qint8", "b"), 13: ("quint8", "B"), 14: ("qint32", "i"),
    15: ("bfloat16", ""), 27: ("uint16", "H"), 28: ("uint32", "I"), 29: ("uint64", "Q"),
}  # fmt: skip
"""ScalarType, and how `struct` reads it."""
NOTHING, INT, BOOL, DOUBLE, TENSOR, STRING, INTS, DOUBLES, BOOLS, TENSORS, OPTIONAL = range(1, 12)
"""KernelTypes, in their order."""
MANY = 16
"""Numbers of a constant that are shown."""
MOST_TEXT = 4_000


class Values:
    """Those of one plan. `segment` gives the bytes behind the program by their number."""

    def __init__(self, plan: Table, program: Table, segment: Callable[[int], Flatbuffer]) -> None:
        self.plan = plan
        self.values = list(plan.tables(2))
        held = program.table(5)
        self.inline = list(program.tables(2))
        self.constant = segment(held.integer(0, "I")) if held and len(held.integers(1, "Q")) else None
        self.offsets = held.integers(1, "Q") if held else ()

    def port(self, index: int, name: str) -> Port:
        kind, value = self._at(index)
        if kind != TENSOR or value is None:
            return Port(name, {INT: "int", BOOL: "bool", DOUBLE: "double", STRING: "string"}.get(kind, "none"), ())
        return Port(name, self._type(value)[0], tuple(value.integers(2, "i")))

    def constants(self) -> Iterator[Constant]:
        """Tensors of the program itself, outside of any delegate, each of its bytes once."""
        seen = set()
        for number, entry in enumerate(self.values):
            value = entry.table(1) if entry.integer(0, "B") == TENSOR else None
            place = value.integer(5, "I") if value else 0
            if value and place and value.place(6) is None and place not in seen:
                seen.add(place)
                name = f"value {number} {'x'.join(map(str, value.integers(2, 'i')))}"
                yield Constant(name, self._type(value)[0], len(self._bytes(place)))

    def answer(self) -> str:
        """What a method gives that computes nothing; in words what else it is."""
        if any(chain.vector(2, 4).count for chain in self.plan.tables(5)):
            return "computes"
        found = [self._shown(index) for index in self.plan.integers(4, "i")]
        return ", ".join(found[:MANY]) + (f", ... ({len(found)} in all)" if len(found) > MANY else "")

    def _at(self, index: int) -> tuple[int, Table | None]:
        if not 0 <= index < len(self.values):
            raise DamagedFile(f"damaged: {self.plan.file.name}: it has no value {index}")
        return self.values[index].integer(0, "B"), self.values[index].table(1)

    def _shown(self, index: int, deep: int = 0) -> str:
        kind, value = self._at(index)
        if value is None or kind == NOTHING:
            return "none"
        if kind == INT:
            return str(value.integer(0, "q"))
        if kind == BOOL:
            return "true" if value.integer(0, "B") else "false"
        if kind == DOUBLE:
            return f"{value.real(0, 'd'):g}"
        if kind == STRING:
            return value.text(0)
        if kind == TENSOR:
            return self._tensor(value)
        return self._list(kind, value) if not deep else "a list"

    def _list(self, kind: int, value: Table) -> str:
        """Of integers and tensors it names the values; of others it holds them."""
        if kind == DOUBLES:
            return self._some([f"{x:g}" for x in value.reals(0, "d")])
        if kind == BOOLS:
            return self._some([str(bool(x)).lower() for x in value.integers(0, "B")])
        items = value.integers(0, "q" if kind == INTS else "i")
        return self._some([self._shown(item, 1) for item in items[: MANY + 1]], len(items))

    @staticmethod
    def _some(items: list[str], count: int | None = None) -> str:
        count = len(items) if count is None else count
        return f"[{', '.join(items[:MANY])}{f', ... ({count} in all)' if count > MANY else ''}]"

    @staticmethod
    def _type(value: Table) -> tuple[str, str]:
        return TYPES.get(value.integer(0, "b"), ("unknown", ""))

    def _tensor(self, value: Table) -> str:
        """Its numbers where they are few, its text where it is one, else its type and shape."""
        (name, kind), shape = self._type(value), value.integers(2, "i")
        words = f"{name} {'x'.join(map(str, shape)) or 'scalar'}"
        place = value.integer(5, "I")
        if not place or not kind:
            return words
        content = self._bytes(place)
        count = 1
        for size in shape:
            count *= max(0, size)
        width = struct.calcsize(f"<{kind}")
        if count * width > len(content):
            raise DamagedFile(f"damaged: {self.plan.file.name}: a constant that is larger than its bytes")
        if name == "uint8" and len(shape) == 1 and (text := _text(content[:count])):
            return text
        numbers = struct.unpack(f"<{count}{kind}", content[: count * width]) if count <= MANY else ()
        return f"[{', '.join(f'{x:g}' for x in numbers)}]" if numbers else words

    def _bytes(self, place: int) -> bytes:
        """The bytes of a constant: in a segment of all, where each begins at an offset, or in the program itself."""
        if self.constant is not None:
            if place >= len(self.offsets):
                raise DamagedFile(f"damaged: {self.plan.file.name}: it has no constant {place}")
            size = self.constant.end - self.constant.start
            end = min((offset for offset in self.offsets if offset > self.offsets[place]), default=size)
            return self.constant.read(self.offsets[place], end - self.offsets[place])
        if place >= len(self.inline):
            raise DamagedFile(f"damaged: {self.plan.file.name}: it has no constant {place}")
        held = self.inline[place].vector(0, 1)
        return self.inline[place].file.read(held.at, held.count)


def _text(content: bytes) -> str:
    """Empty where it is none."""
    try:
        found = content[:MOST_TEXT].decode()
    except UnicodeDecodeError:
        return ""
    return found if found and all(c.isprintable() or c in "\n\t" for c in found) else ""
