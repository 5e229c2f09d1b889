"""The members of a tar archive, by its headers alone: what each is called, and where its bytes lie. Nothing is unpacked.

Format: POSIX.1-2017, pax, "Interchange format", and GNU tar's manual, "Basic Tar Format". Archives of strangers: a member is a
plain file, a folder (passed over), or a long name of the next one; whatever else there is (links, devices, sparse files, names
that lead out of the archive) is refused, and so is an archive without its end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgevit.errors import DamagedFile

BLOCK = 512
LARGEST = 1 << 30
"""Bytes of one member; an image of a camera has some millions."""
LONGEST = 1 << 16
"""Bytes of a long name with all that stands beside it."""
PLAIN, FOLDER, LONG_NAME, PAX, GLOBAL = (b"0", b"\0", b"7"), b"5", b"L", b"x", b"g"
KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}
PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd", b"PK": "zip"}
RECORD = re.compile(rb"([0-9]{1,5}) ([^=]+)=")


@dataclass(frozen=True)
class Member:
    """A plain file of `size` bytes from `offset` on. `start` are its first bytes, up to a block of them."""

    name: str
    offset: int
    size: int
    start: bytes


def members(path: Path) -> Iterator[Member]:
    """The plain files of an archive, in their order. Raises DamagedFile, with archive and member, for what is refused above."""
    try:
        with path.open("rb") as file:
            yield from _walked(file.fileno(), os.fstat(file.fileno()).st_size, path)
    except FileNotFoundError:  # a shard that was fetched may be let go of at any time
        raise
    except OSError as error:
        raise DamagedFile(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _walked(file: int, end: int, path: Path) -> Iterator[Member]:
    at, extras = 0, dict[str, str]()
    while True:
        header = os.pread(file, 2 * BLOCK, at)
        if len(header) < BLOCK:
            raise DamagedFile(f"cut: {path} ends without the mark of its end", f"at byte {end}")
        if not any(header[:BLOCK]):
            return
        kind = header[156:157]
        here = _name(header, at, path)
        name = extras.get("path", here)
        folder = kind == FOLDER or (kind in PLAIN and name.endswith("/"))  # as tars had it before there were kinds
        size = 0 if folder else _size(header, extras, name, path)
        data, at = at + BLOCK, at + BLOCK + -(-size // BLOCK) * BLOCK
        if data + size > end:
            raise DamagedFile(f"cut: {name!r} of {path} has {end - data} of its {size} bytes")
        if kind in (LONG_NAME, PAX, GLOBAL):
            extras |= _extra(os.pread(file, _believed(size, LONGEST, name, path), data), kind, path)
            continue
        extras = {}
        _require_plain(kind, name, path)
        if not folder:
            yield Member(_inside(name, path), data, _believed(size, LARGEST, name, path), header[BLOCK : BLOCK + size])


def _require_plain(kind: bytes, name: str, path: Path) -> None:
    if kind not in (*PLAIN, FOLDER):
        what = KINDS.get(kind, f"of an unknown kind {kind!r}")
        raise DamagedFile(f"not a plain file but {what}: {name!r} of {path}", "a shard holds plain files alone")


def _believed(size: int, most: int, name: str, path: Path) -> int:
    if size > most:
        raise DamagedFile(f"{size} bytes are too many: {name!r} of {path}", f"at most {most}")
    return size


def _name(header: bytes, at: int, path: Path) -> str:
    """The name as it stands in a header that is one."""
    blank = header[:148] + b" " * 8 + header[156:BLOCK]
    said = _octal(header[148:156])
    if said is None or said not in (sum(blank), sum(blank) - 256 * sum(byte > 127 for byte in blank)):
        packed = next((name for start, name in PACKED.items() if not at and header.startswith(start)), "")
        if packed:
            raise DamagedFile(
                f"compressed by {packed}, and no plain tar: {path}", "unpack it first: images are compressed already"
            )
        raise DamagedFile(f"no header of a tar at byte {at} of {path}")
    name, prefix = _text(header[:100], path), _text(header[345:500], path) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes, path: Path) -> str:
    try:
        return field.partition(b"\0")[0].decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(f"a name that is not UTF-8: {field.partition(bytes(1))[0]!r} of {path}") from error


def _octal(field: bytes) -> int | None:
    text = field.rstrip(b" \0").lstrip(b" ")
    return int(text, 8) if re.fullmatch(rb"[0-7]{1,12}", text) else None


def _size(header: bytes, extras: dict[str, str], name: str, path: Path) -> int:
    """In octal; in base 256 where GNU tar has too little room for that; or as the header before says."""
    said = extras.get("size")
    if said is not None:
        size = int(said) if re.fullmatch("[0-9]{1,18}", said) else None
    elif header[124] == 0x80:
        size = int.from_bytes(header[125:136], "big")
    else:
        size = _octal(header[124:136])
    if size is None:
        raise DamagedFile(f"no size: {name!r} of {path}")
    return size


def _extra(content: bytes, kind: bytes, path: Path) -> dict[str, str]:
    """What a member says of the next one: its name, or its name and size among other things."""
    if kind == LONG_NAME:
        return {"path": _text(content, path)}
    found: dict[str, str] = {}
    while content.strip(b"\0"):
        record = RECORD.match(content)
        length = int(record[1]) if record else 0
        if not record or not record.end() < length <= len(content) or content[length - 1 : length] != b"\n":
            raise DamagedFile(f"an extended header that is none in {path}")
        key, value = _text(record[2], path), content[record.end() : length - 1]
        if key.startswith("GNU.sparse"):
            raise DamagedFile(f"a sparse file in {path}", "a shard holds plain files alone")
        if key in ("path", "size") and kind == PAX:
            found[key] = _text(value, path)
        content = content[length:]
    return found


def _inside(name: str, path: Path) -> str:
    """The name of a member, where it stays within its archive."""
    plain = name.removeprefix("./")
    if not plain or plain.startswith("/") or "\\" in plain or any(part in ("", ".", "..") for part in plain.split("/")):
        raise DamagedFile(f"a name that leads out of its archive: {name!r} of {path}")
    return plain
