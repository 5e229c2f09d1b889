"""How a good file becomes a bad one: bits, cuts, ranges, huge numbers, JSON of other types, members of other names.

Each function takes a `random.Random`, so that a seed repeats what it did.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

HUGE = (0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 1 << 40)
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**30, -(10**18), 1e308, 0.5, "", "x" * 5000, "../../etc/passwd", "\0", "é\ud800", [], {}, [[]],
    [None], {"a": {}},
)  # fmt: skip
NAMES = ("..", "a/../../b", "x" * 255, "é", "Manifest.json", "weight.bin", "model.mlmodel", ".hidden", "CON", " ")


def place(random: Random, size: int) -> int:
    """Offsets and sizes stand at the beginning and the end, weights in between: so half of the places are there."""
    low, high = random.choice(((0, 64), (0, 2048), (0, 1 << 15), (size - (1 << 15), size), (0, size), (0, size)))
    return min(max(0, random.randrange(max(0, low), max(low + 1, high, 1))), max(0, size - 1))


def flip(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 3, 30))):
        data[place(random, len(data))] ^= 1 << random.randrange(8)


def cut(data: bytearray, random: Random) -> None:
    del data[random.choice((place(random, len(data)), random.randrange(len(data)))) :]


def zero(data: bytearray, random: Random) -> None:
    start, size = place(random, len(data)), random.choice((4, 64, 1024, 1 << 16))
    end = min(len(data), start + size)
    data[start:end] = bytes(end - start)


def swap(data: bytearray, random: Random) -> None:
    size = random.choice((4, 8, 64, 512))
    a, b = (min(place(random, len(data)) // 4 * 4, max(0, len(data) - size)) for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def enlarge(data: bytearray, random: Random) -> None:
    """Huge integers, at the places where integers of their width stand."""
    for _ in range(random.choice((1, 1, 2, 8))):
        kind = random.choice("BHIQ")
        width = struct.calcsize(f"<{kind}")
        start = place(random, len(data)) // width * width
        value = random.choice((*HUGE, random.getrandbits(8 * width), len(data)))
        if start + width <= len(data):
            struct.pack_into(f"<{kind}", data, start, value & ((1 << 8 * width) - 1))


def insert(data: bytearray, random: Random) -> None:
    start = place(random, len(data))
    data[start:start] = random.randbytes(random.choice((1, 4, 4096)))


BYTES: tuple[Callable[[bytearray, Random], None], ...] = (flip, flip, cut, zero, swap, enlarge, enlarge, enlarge, insert)


def content(file: Path, random: Random) -> str:
    """Change the bytes of a file; in words what was done."""
    data, done = bytearray(file.read_bytes()), []
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if data:
            change = random.choice(BYTES)
            change(data, random)
            done.append(change.__name__)
    file.write_bytes(data)
    return f"{file.name}: {', '.join(done)}"


def _walk(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in keys for found in _walk(inner, (*path, key)))]


def text(file: Path, random: Random) -> str:
    """Change a file of JSON: now and then its bytes, else values of it, which get other types and sizes, or go."""
    if random.random() < 0.25:
        return content(file, random)
    root = {"root": json.loads(file.read_text())}
    done = []
    for _ in range(random.choice((1, 1, 2, 5))):
        *above, last = random.choice(_walk(root)[1:])
        holder: Any = root
        for key in above:
            holder = holder[key]
        kind = random.choice(("odd", "odd", "odd", "gone", "more", "deep", "number"))
        done.append(f"{'.'.join(map(str, [*above, last]))} {kind}")
        if kind == "gone" and above:
            del holder[last]
        elif kind == "more" and isinstance(holder[last], dict | list):
            more = {"unknown": 1} if isinstance(holder[last], dict) else [None]
            holder[last] = holder[last] | more if isinstance(more, dict) else holder[last] + more
        elif kind == "number":
            holder[last] = random.choice((-1, 0, 2**31, 2**63, 2**64, 1e400, float("nan")))
        else:
            holder[last] = random.choice(ODD) if kind != "deep" else {"a": [holder[last]]}
    written = json.dumps(root["root"])
    if random.random() < 0.05:
        written = "[" * 100_000 + written
    file.write_text(written)
    return f"{file.name}: {', '.join(done)}"


def archive(file: Path, random: Random) -> str:
    """A zip behind a file, as TFLite's metadata has it, with members of odd names and sizes; then the bytes of it all."""
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as files:
        for name in random.sample(NAMES, 3):
            files.writestr(name, bytes(random.choice((0, 10, 1 << 20))))
    return "zip, " + (content(file, random) if random.random() < 0.7 else "whole")


def members(folder: Path, random: Random) -> str:
    """Change which files a folder has: one renamed, gone, emptied, a link, a folder, a pipe, or larger than any disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file, kind = random.choice(files), random.choice(("rename", "gone", "empty", "link", "folder", "pipe", "huge", "more"))
    if kind == "rename":
        name = random.choice(NAMES[2:])
        os.replace(file, file.with_name(name)) if not (file.parent / name).is_dir() else None
    elif kind == "huge":
        os.truncate(file, 1 << 40)
    elif kind == "more":
        shutil.copy(file, file.with_name(random.choice(NAMES[2:4])))
    else:
        file.unlink()
        {
            "gone": lambda: None,
            "empty": lambda: file.write_bytes(b""),
            "link": lambda: file.symlink_to(random.choice(("/etc/passwd", "/dev/zero", file.name, "gone"))),
            "folder": lambda: file.mkdir(),
            "pipe": lambda: os.mkfifo(file),
        }[kind]()
    return f"{file.name}: {kind}"
