"""A reader of pickles that can build nothing but numbers, text, bytes, lists, tuples, dictionaries and arrays of numbers.

Python's own would call whatever a file names. This one calls nothing and imports nothing: it knows the operations that Python 2
and 3 write at protocol 2, as CIFAR is published, and takes the few names that numpy's arrays need as symbols. All else is
refused.
What the operations mean: the comments in CPython's Lib/pickletools.py.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from edgevit.errors import DamagedFile

MOST_OPERATIONS = 4_000_000
"""Of one file. CIFAR-100's largest has some 250,000; the limit bounds what a hostile one makes of its bytes."""
HINT = "it was not read: a pickle may run programs, and this one holds more than arrays, numbers and text"


def read(content: bytes, path: Path | str) -> Any:
    """What a pickle holds. Python 2's `str` is bytes; arrays are read-only views of `content`'s copy.

    Raises DamagedFile for a cut file, and for an operation or a name that no file of arrays and text needs, before it is done.
    """
    machine = _Machine(len(content))
    try:
        for name, argument in _operations(content):
            if name not in OPERATIONS:
                raise _Refused(f"operation {name}")
            OPERATIONS[name](machine, argument)
        return machine.stack.pop()
    except _Refused as error:
        raise DamagedFile(f"a pickle with {error}: {path}", HINT) from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise DamagedFile(f"not a pickle, or a cut or altered one: {path}", str(error).partition("\n")[0]) from error


class _Refused(Exception):
    """What stands in a file and is not done."""


class _Name(Enum):
    """What a file may name, under the modules where numpy has kept it."""

    RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
    NDARRAY = ("numpy ndarray",)
    DTYPE = ("numpy dtype",)
    ENCODE = ("_codecs encode",)
    BYTES = ("__builtin__ bytes", "builtins bytes")


KNOWN = {spelling: name for name in _Name for spelling in name.value}

MOST_SIDES = 4
NUMBERS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


@dataclass
class _Unbuilt:
    """An array or a type of numbers that the file has announced and not yet filled. `slots` is where the memo keeps it."""

    what: _Name
    code: str = ""
    slots: list[int] = field(default_factory=list)


@dataclass
class _Machine:
    """`stack` as the operations say; `marks` are its heights where a list, tuple or dictionary begins.

    `left` is how many bytes may still be made from text: no honest file makes more of them than it holds.
    """

    left: int
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def since_mark(self) -> list[Any]:
        height = self.marks.pop()
        items, self.stack[height:] = self.stack[height:], []
        return items

    def put(self, slot: int) -> None:
        self.memo[slot] = self.stack[-1]
        if isinstance(self.stack[-1], _Unbuilt):
            self.stack[-1].slots.append(slot)

    def pack(self, count: int) -> None:
        items = self.stack[len(self.stack) - count :]
        if len(items) != count:
            raise ValueError("a tuple of what is not there")
        self.stack[len(self.stack) - count :] = [tuple(items)]

    def append(self, items: list[Any]) -> None:
        _of(list, self.stack[-1]).extend(items)

    def set_items(self, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        if not all(isinstance(key, str | bytes) for key in keys):
            raise ValueError("a key that is no text")
        _of(dict, self.stack[-1]).update(zip(keys, values, strict=True))

    def reduce(self) -> None:
        arguments, called = _of(tuple, self.stack.pop()), self.stack.pop()
        made = _called(called, arguments)
        self.left -= len(made) if isinstance(made, bytes) else 0
        if self.left < 0:
            raise _Refused("more made of its text than it holds")
        self.stack.append(made)

    def build(self) -> None:
        state, unbuilt = _of(tuple, self.stack.pop()), _of(_Unbuilt, self.stack.pop())
        built = _array(state) if unbuilt.what is _Name.NDARRAY else _dtype(unbuilt.code, state)
        self.stack.append(built)
        self.memo.update(dict.fromkeys(unbuilt.slots, built))


def _operations(content: bytes) -> Iterator[tuple[str, Any]]:
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if number == MOST_OPERATIONS:
            raise _Refused(f"more than {MOST_OPERATIONS} operations")
        yield operation.name, argument


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} in the place of a {kind.__name__}")
    return value


def _named(spelling: str) -> _Name:
    if spelling not in KNOWN:
        raise _Refused(f"the name {spelling.replace(' ', '.', 1)[:80]!r}")
    return KNOWN[spelling]


def _called(what: Any, arguments: tuple[Any, ...]) -> Any:
    """What a call of one of the known names would give, for the arguments that numpy and Python write."""
    match what, arguments:
        case _Name.RECONSTRUCT, (_Name.NDARRAY, tuple(), bytes()):
            return _Unbuilt(_Name.NDARRAY)
        case _Name.DTYPE, (str() | bytes() as code, *_):
            return _Unbuilt(_Name.DTYPE, code if isinstance(code, str) else code.decode("ascii"))
        case _Name.ENCODE, (str() as text, "latin1" | b"latin1"):
            return text.encode("latin-1")
        case _Name.BYTES, ():
            return b""
        case _Name(), _:
            raise _Refused(f"a call of {what.value[0].replace(' ', '.')} that no array needs")
    raise _Refused("a call of what is no name")


def _dtype(code: str, state: tuple[Any, ...]) -> np.dtype:
    """The type of numbers that numpy writes as code ("u1") and state (version, byte order, ...)."""
    order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
    if code not in NUMBERS or order not in ("|", "<", ">", "="):
        raise _Refused(f"an array of type {code[:80]!r}")
    return np.dtype(order + code)


def _array(state: tuple[Any, ...]) -> np.ndarray:
    """The array that numpy writes as (version, shape, type, whether columns come first, bytes)."""
    _, shape, dtype, by_columns, raw = state
    if not isinstance(dtype, np.dtype) or not isinstance(raw, bytes):
        raise _Refused("an array of objects")
    if len(_of(tuple, shape)) > MOST_SIDES or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("an array of no shape")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"an array of shape {shape} in {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if by_columns else "C")


def _pushes(value: Callable[[Any], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(value(argument))


def _protocol(machine: _Machine, version: int) -> None:
    if version > 2:
        raise _Refused(f"protocol {version}, where 2 is known")


OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _protocol,
    "STOP": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "NONE": _pushes(lambda _: None),
    "NEWTRUE": _pushes(lambda _: True),
    "NEWFALSE": _pushes(lambda _: False),
    "EMPTY_LIST": _pushes(lambda _: []),
    "EMPTY_TUPLE": _pushes(lambda _: ()),
    "EMPTY_DICT": _pushes(lambda _: {}),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), _pushes(lambda value: value)),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING"), _pushes(lambda text: text.encode("latin-1"))),
    "GLOBAL": _pushes(_named),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, slot: machine.stack.append(machine.memo[slot])),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.pack(1),
    "TUPLE2": lambda machine, _: machine.pack(2),
    "TUPLE3": lambda machine, _: machine.pack(3),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
"""Every operation that is done, by its name in pickletools, and its effect with its argument."""
