"""What is in a model file, what a delegate takes of it, and a picture of where its bytes are."""

from __future__ import annotations

from pathlib import Path

from edgevit import memory
from edgevit.errors import DamagedFile
from edgevit.folder import files_written_whole
from edgevit.pictures.bytes import by_layer
from edgevit.pictures.paper import DARK, LIGHT
from edgevit.types import Contents, Taken

MOST = 16 << 30
"""Bytes of addresses that reading a file may take, the file itself and the libraries among them."""


def inspect(file: Path) -> Contents:
    """Raises BadInput, DamagedFile, NotInstalled."""
    from targets import files

    memory.hold_to(MOST)
    try:
        return files.read(file)
    except MemoryError as error:
        raise DamagedFile(f"damaged: it asks for more memory than a model does: {file}") from error


def taken(file: Path) -> Taken:
    """What the delegate for the CPU takes of a TFLite file; the interpreter may crash over one that is damaged."""
    from converters import litert

    memory.hold_to(MOST)
    return litert.taken(file)


def draw(found: Contents, dark: bool, out: Path) -> None:
    """Write the picture whole, or not at all."""
    with files_written_whole(out.parent) as partial:
        (partial / out.name).write_bytes(by_layer(found).png(DARK if dark else LIGHT))
