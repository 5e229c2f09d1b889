"""Kotlin and Swift as their grammars read them: whatever a model's preprocessing is, and whatever its labels are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgevit import app
from edgevit.types import Input
from tests.app.conftest import ALL, NASTY, record, variants

pytest.importorskip("tree_sitter", reason="tree-sitter is not installed")
GRAMMARS = {".kt": "tree_sitter_kotlin", ".swift": "tree_sitter_swift"}
APPS = [name for name in ALL if name.startswith(("kotlin", "swift"))]


def _wrong(file: Path) -> list[str]:
    """What the grammar of the file's language cannot read in it, line by line."""
    import tree_sitter

    language = tree_sitter.Language(pytest.importorskip(GRAMMARS[file.suffix]).language())
    tree = tree_sitter.Parser(language).parse(file.read_bytes())
    return [f"{file.name}:{node.start_point[0] + 1}: {node.type}" for node in _nodes(tree.root_node) if _broken(node)]


def _broken(node: Any) -> bool:
    return node.is_error or node.is_missing


def _nodes(node: Any) -> list[Any]:
    return [node, *(inner for child in node.children for inner in _nodes(child))]


def _made(name: str, input: Input, into: Path) -> list[Path]:
    for number, steps in enumerate(variants()):
        app.write(record(steps, input, "model.mlpackage"), (name,), into / str(number))
    return sorted(path for path in into.rglob("*") if path.suffix in GRAMMARS)


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("input", Input)
def test_every_variant_is_of_its_language(name: str, input: Input, tmp_path: Path) -> None:
    files = _made(name, input, tmp_path)
    if name == "swift-vision" and input is Input.TENSOR:
        assert files == [], "Vision has images only, and no tensors"
        return
    assert files and [line for file in files for line in _wrong(file)] == []


@pytest.mark.parametrize(("suffix", "text"), [(".kt", "fun f( {"), (".swift", "func f( -> {"), (".kt", 'val x = "a" b"')])
def test_what_is_no_code_is_seen(suffix: str, text: str, tmp_path: Path) -> None:
    (tmp_path / f"x{suffix}").write_text(text)
    assert _wrong(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("name", ALL)
def test_labels_stand_beside_the_code_and_never_in_it(name: str, tmp_path: Path) -> None:
    for number, labels in enumerate((NASTY, ("cat", "dog"))):
        made = record(variants()[0], Input.PIXELS)
        app.write(made.__class__(**{**vars(made), "labels": labels}), (name,), tmp_path / str(number))
        assert tuple(json.loads((tmp_path / str(number) / "labels.json").read_text("utf-8"))) == labels
    assert app.differing(tmp_path / "0", tmp_path / "1") == ["labels.json"]
