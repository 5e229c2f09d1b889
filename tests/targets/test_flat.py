"""A flattened folder is written out as it was, and one that reaches outside of itself is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgevit.errors import DamagedFile
from targets.mil.flat import unflatten

FILE: dict[str, Any] = {"name": "weights", "kind": 0, "dataRegion": {"offset": 0, "size": 3}, "children": {}}
ROOT: dict[str, Any] = {"name": "any", "kind": 1, "dataRegion": {"offset": 0, "size": 0}, "children": {"weights": 0}}
LARGE = {**FILE, "dataRegion": {"offset": 0, "size": 250}}


def flat(*nodes: dict[str, Any], content: bytes = b"abc") -> bytes:
    return content + json.dumps({"nodes": nodes}).encode()[::-1]


def test_as_executorch_flattens_it(tmp_path: Path) -> None:
    library = pytest.importorskip("executorch.backends.apple.coreml.executorchcoreml")
    files = {"a/model.mlmodel": b"graph" * 100, "a/weights/weight.bin": bytes(range(256)) * 5000, "Manifest.json": b"{}"}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    unflatten(library.flatten_directory_contents(str(tmp_path / "in")), tmp_path / "out")
    written = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert written == files


def test_the_smallest(tmp_path: Path) -> None:
    unflatten(flat(FILE, ROOT), tmp_path / "out")
    assert (tmp_path / "out/weights").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "nodes",
    [
        (FILE, {**ROOT, "children": {"../weights": 0}}),
        (FILE, {**ROOT, "children": {"..": 0}}),
        (FILE, {**ROOT, "children": {"/weights": 0}}),
        (FILE, {**ROOT, "children": {"": 0}}),
        (FILE, {**ROOT, "children": {"weights": 1}}),
        (FILE, {**ROOT, "children": {"weights": -1}}),
        (FILE, {**ROOT, "children": {"weights": "0"}}),
        ({**FILE, "dataRegion": {"offset": 0, "size": 1000}}, ROOT),
        ({**FILE, "dataRegion": {"offset": -2, "size": 1}}, ROOT),
        ({**FILE, "dataRegion": {"offset": 2, "size": -1}}, ROOT),
        ({**FILE, "dataRegion": {"offset": 0.5, "size": 1}}, ROOT),
        ({**FILE, "dataRegion": {}}, ROOT),
        (FILE, {**ROOT, "children": {"a\0b": 0}}),
        (FILE, {**ROOT, "children": {"a" * 300: 0}}),
        (FILE, {**ROOT, "children": {"a": 0, "b": 0}}),
        (LARGE, LARGE, {**ROOT, "children": {"a": 0, "b": 1}}),
        ("weights", ROOT),
        (),
    ],
)
def test_what_is_no_folder_is_refused(nodes: tuple[dict[str, Any], ...], tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="no flattened Core ML package"):
        unflatten(flat(*nodes), tmp_path / "out")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("content", [b"", b"abc", flat(FILE, ROOT)[:-1], b"\xff" * 100, b"[" * 200_000])
def test_bytes_without_an_index_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile):
        unflatten(content, tmp_path / "out")
