"""A folder flattened into bytes, as ExecuTorch's Core ML delegate stores its package.

First the files, at multiples of some alignment, then an index of them in JSON, which is written backwards so that it can be read
from the end. Source: backends/apple/coreml/runtime/inmemoryfs of ExecuTorch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevit.errors import DamagedFile

LARGEST_INDEX = 1 << 20
"""Bytes. A package has fewer than ten files and folders, some hundred bytes each."""
LONGEST_NAME = 60
"""Characters, of which none takes more than four bytes: file systems take 255 bytes."""


@dataclass(frozen=True)
class Flat:
    """The bytes, and the files and folders of their index, each before the folder that holds it; the last is the root."""

    content: bytes
    nodes: list[Any]

    def write(self, number: int, path: Path) -> None:
        """Write the file or folder of that number to `path`. Raises KeyError, TypeError or ValueError for what is none."""
        node = self.nodes[number]
        if node["kind"] == 0:
            path.write_bytes(self._bytes(node["dataRegion"]))
            return
        path.mkdir(exist_ok=True)
        for name, child in node["children"].items():
            if name in ("", ".", "..") or "/" in name or len(name) > LONGEST_NAME or not 0 <= child < number:
                raise ValueError(f"{name[:LONGEST_NAME]!r} is no name within a folder, or holds itself")
            self.write(child, path / name)

    def _bytes(self, region: dict[str, int]) -> bytes:
        start, end = region["offset"], region["offset"] + region["size"]
        if not 0 <= start <= end <= len(self.content):
            raise ValueError("a file that ends behind the end")
        return self.content[start:end]


def unflatten(content: bytes, into: Path) -> None:
    """Write the files and folders within the flattened folder to the folder `into`. Raises DamagedFile, having written some."""
    try:
        backwards = content[: -LARGEST_INDEX - 1 : -1].decode("latin-1")
        nodes = json.JSONDecoder().raw_decode(backwards)[0]["nodes"]
        _require_small(nodes, len(content))
        Flat(content, nodes).write(len(nodes) - 1, into)
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise DamagedFile(f"no flattened Core ML package in the program ({error})") from error


def _require_small(nodes: list[Any], most: int) -> None:
    """Raise ValueError where one part stands in two places, so that a small file would unfold into a large folder."""
    held = [child for node in nodes for child in node["children"].values()]
    if len(set(held)) < len(held) or sum(node["dataRegion"]["size"] for node in nodes) > most:
        raise ValueError("a part in two places")
