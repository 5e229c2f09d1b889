"""What is in a model file of any format, read without running it: its ports, operators, delegates and the bytes of its layers."""

from __future__ import annotations

from pathlib import Path

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Contents

IDENTIFIERS = {b"TFL3": "tflite", b"ET12": "executorch"}
"""What a flatbuffer says of its schema, four bytes behind its first four."""


def read(path: Path) -> Contents:
    """Raises BadInput for what is no model file, DamagedFile for one that is cut or altered, NotInstalled without its library."""
    kind = _format(path)
    if kind == "coreml":
        from targets.files import mlpackage

        return mlpackage.read(path)
    if kind == "tflite":
        from targets.files import tflite

        return tflite.read(path)
    from targets.files import executorch

    return executorch.read(path)


def _format(path: Path) -> str:
    """By the content, whatever the name says."""
    if path.is_dir():
        if not (path / "Manifest.json").exists():
            raise BadInput(f"no model in the folder {path}", "an artifact, an .mlpackage, a .pte or a .tflite")
        return "coreml"
    if not path.is_file():
        raise BadInput(f"no such file: {path}" if not path.exists() else f"neither a file nor a folder: {path}")
    with path.open("rb") as file:
        head = file.read(8)
    kind = IDENTIFIERS.get(head[4:])
    if kind is None and path.suffix in (".pte", ".tflite"):
        raise DamagedFile(f"cut, damaged or of another kind: {path}")
    if kind is None:
        raise BadInput(f"no model file that is known here: {path}", "a .pte, a .tflite or an .mlpackage")
    return kind
