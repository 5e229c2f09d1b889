"""An .mlpackage as it lies on disk: a manifest, a model spec and its weights, none of them trusted."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from edgevit import record
from edgevit.errors import DamagedFile, from_os_error
from targets.mil.library import load, proto

LARGEST_SPEC = 256 << 20
"""Bytes. A spec holds the graph and small constants, less than 1 MiB for a ViT: weights are in a file of their own."""

WEIGHTS = PurePosixPath("@model_path/weights")
"""Where a spec says that its weights are; `@model_path` is the folder that holds the spec."""


@dataclass(frozen=True)
class Item:
    """One entry of a manifest; `path` is relative to the package's folder Data."""

    path: str


@dataclass(frozen=True)
class Manifest:
    """Manifest.json, its fields named as Apple names them."""

    itemInfoEntries: dict[str, Item]
    rootModelIdentifier: str


@dataclass(frozen=True)
class Package:
    """A package whose files are all there: its folder, and its model spec (`Model_pb2.Model`) beside its weights."""

    folder: Path
    spec: Any
    weights: Path

    @property
    def operations(self) -> Any:
        """The operations of the program (`MIL_pb2.Operation`) in order. Raises DamagedFile where there is no `main`."""
        main = self.spec.mlProgram.functions.get("main")
        if main is None or main.opset not in main.block_specializations:
            raise DamagedFile(f"no function main in the Core ML program: {self.folder}")
        return main.block_specializations[main.opset].operations

    @property
    def halves(self) -> bool:
        """Whether any operation gives float16."""
        kinds = (output.type.tensorType.dataType for operation in self.operations for output in operation.outputs)
        return any(kind == proto.MIL_pb2.DataType.FLOAT16 for kind in kinds)

    @cached_property
    def main(self) -> Any:
        """The program as coremltools reads it: a typed `mil.Function`, defaults filled in. Raises DamagedFile."""
        try:
            program = load(self.spec, self.spec.specificationVersion, str(self.weights))
            return program.functions["main"]
        except Exception as error:  # the reader has no error of its own: it raises whatever it trips over
            raise DamagedFile(f"cannot be read as a Core ML program: {self.folder}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """The first line of what a library says; some add pages of advice."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def read(folder: Path) -> Package:
    """Open an .mlpackage. Raises DamagedFile for a file that is missing, cut, of another kind or outside of it."""
    _refuse_links(folder)
    path = _model_path(folder)
    package = Package(folder, _spec(path), path.parent / "weights")
    for name in _weight_files(package.operations):
        _require_weights(package, name)
    return package


def _refuse_links(folder: Path) -> None:
    if not folder.is_dir():
        raise DamagedFile(f"no .mlpackage folder: {folder}")
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise DamagedFile(f"neither file nor folder, but a link or a device: {path}")


def _model_path(folder: Path) -> Path:
    """The file of the model spec, as the manifest names it."""
    manifest = record.read_foreign(folder / "Manifest.json", Manifest)
    root = manifest.itemInfoEntries.get(manifest.rootModelIdentifier)
    if root is None:
        raise DamagedFile(f"the manifest does not say which file is the model: {folder / 'Manifest.json'}")
    path = PurePosixPath(root.path)
    if path.is_absolute() or ".." in path.parts:
        raise DamagedFile(f"the manifest points outside the package: {folder / 'Manifest.json'}")
    return folder / "Data" / path


def _spec(path: Path) -> Any:
    if not os.path.isfile(path):  # unlike Path.is_file, it lets a name of any length be
        raise DamagedFile(f"no model spec at {path}")
    if path.stat().st_size > LARGEST_SPEC:
        raise DamagedFile(f"{path}: larger than {LARGEST_SPEC >> 20} MiB, no spec of an ML program")
    spec = proto.Model_pb2.Model()
    try:
        spec.ParseFromString(path.read_bytes())
    except OSError as error:
        raise from_os_error(error) from error
    except Exception as error:  # protobuf's DecodeError, whose place differs between its versions
        raise DamagedFile(f"not a Core ML model spec: {path}") from error
    if spec.WhichOneof("Type") != "mlProgram":
        raise DamagedFile(f"not an ML program: {path}", "only packages of iOS 15 or later hold one")
    return spec


def _weight_files(operations: Any) -> set[str]:
    """The names by which the spec refers to files of weights."""
    values = [value for op in operations for value in op.attributes.values()]
    bindings = [b for op in operations for argument in op.inputs.values() for b in argument.arguments]
    values += [binding.value for binding in bindings if binding.HasField("value")]
    return {value.blobFileValue.fileName for value in values if value.HasField("blobFileValue")}


def _require_weights(package: Package, name: str) -> None:
    """coremltools looks at the last part of a name alone, in the folder of weights: so hold the name to that."""
    path = PurePosixPath(name)
    if path.parent != WEIGHTS or path.name == "..":
        raise DamagedFile(f"weights outside {WEIGHTS}: {name!r} in {package.folder}")
    if not os.path.isfile(package.weights / path.name):
        raise DamagedFile(f"no weights at {package.weights / path.name}")
