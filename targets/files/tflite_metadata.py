"""What apps are told of a TFLite model: its TFLITE_METADATA and the files behind it in a zip. Source: metadata_schema.fbs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgevit.types import Port
from targets.files.tables import Flatbuffer, Table

IMAGE, NORMALISES = 2, 1
COLOURS = {1: "RGB", 2: "grayscale"}
FILES = 100
"""Associated files that are named."""


@dataclass(frozen=True)
class Said:
    """Of the model as a whole, and of each input and output in its order: name, words, colours, mean, std."""

    pairs: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    @staticmethod
    def port(told: tuple[Port, ...], number: int, port: Port) -> Port:
        if number >= len(told):
            return port
        more = told[number]
        return replace(port, name=more.name or port.name, words=more.words, colours=more.colours, mean=more.mean, std=more.std)


def said(file: Flatbuffer) -> Said:
    """Raises DamagedFile."""
    model = file.root()
    names = ("name", "description", "version", "", "author", "license", "", "metadata parser")
    pairs = [(name, model.text(slot)) for slot, name in enumerate(names) if name]
    graph = next(model.tables(3), None)
    if graph is None:
        return Said(tuple(pair for pair in pairs if pair[1]))
    pairs.append(("graph", graph.text(1)))
    sides = (tuple(_port(tensor) for tensor in graph.tables(slot)) for slot in (2, 3))
    return Said(tuple(pair for pair in pairs if pair[1]), *sides)


def _port(tensor: Table) -> Port:
    content, mean, std = tensor.table(3), (), ()
    image = content.table(1) if content and content.integer(0, "B") == IMAGE else None
    colours = COLOURS.get(image.integer(0, "b"), "") if image else ""
    for unit in tensor.tables(4):
        options = unit.table(1) if unit.integer(0, "B") == NORMALISES else None
        if options:
            mean, std = options.reals(0), options.reals(1)  # type: ignore[assignment]
    return Port(tensor.text(0), "", (), colours=colours, mean=mean, std=std, words=tensor.text(1))


def associated(path: Path) -> Iterator[tuple[str, str]]:
    """The names and sizes of the files in the zip behind the model, which nothing here unpacks."""
    try:
        with zipfile.ZipFile(path) as files:
            entries = files.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError, EOFError):
        return  # most models have none
    for entry in entries[:FILES]:
        yield f"file {entry.filename[:200]}", f"{entry.file_size} bytes"
    if len(entries) > FILES:
        yield "files", f"{len(entries)} in all"
