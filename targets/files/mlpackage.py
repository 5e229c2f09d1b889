"""A Core ML package as its spec has it: ports as apps see them, operations of the program, and where its weights are."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgevit import folder
from edgevit.errors import DamagedFile, NotInstalled
from edgevit.types import Contents, Operators, Port
from targets.files.parts import Constant, layers

SYSTEMS = {6: "iOS 15, macOS 12", 7: "iOS 16, macOS 13", 8: "iOS 17, macOS 14", 9: "iOS 18, macOS 15", 10: "iOS 26, macOS 26"}
"""What a version of the specification came with."""
SENTINEL = 0xDEADBEEF
"""How the record of 64 bytes begins that lies before the bytes of a weight: sentinel, type, size, offset."""
MOST_TEXT = 4_000
DEEPEST = 8
"""Blocks within blocks: what loops and branches hold."""


@dataclass(frozen=True)
class Stored:
    """A value of the spec: its type and shape, "int8", and the weights' file and offset where its numbers lie there."""

    dtype: str
    shape: tuple[int, ...]
    file: str = ""
    offset: int = 0


def read(path: Path) -> Contents:
    """Raises DamagedFile for what cannot be read, NotInstalled without coremltools."""
    try:
        from targets.mil import package
    except ImportError as error:
        raise NotInstalled("packages need what is not installed: coremltools", "pip install 'edgevit[coreml]'") from error
    found = package.read(path)
    description, operations = found.spec.description, list(_operations(found.operations))
    size, kinds = folder.size(path), Counter(operation.type for operation in operations)
    return Contents(
        file=str(path),
        format="Core ML",
        bytes=size,
        wants=_wants(found.spec.specificationVersion),
        inputs=tuple(_port(feature) for feature in description.input),
        outputs=tuple(_port(feature) for feature in description.output),
        operators=tuple(Operators(kind, count, "main") for kind, count in kinds.most_common() if kind != "const"),
        delegates=(),
        layers=layers(_constants(operations, found.weights), size, str(path)),
        metadata=tuple(sorted(_metadata(description, operations))),
    )


def _wants(version: int) -> str:
    return f"Core ML specification {version}" + (f": {SYSTEMS[version]} or later" if version in SYSTEMS else "")


def _operations(operations: Any, deep: int = 0) -> Iterator[Any]:
    """All of them, also those within loops and branches. Raises DamagedFile where they are nested without end."""
    if deep > DEEPEST:
        raise DamagedFile("damaged: blocks within blocks without end")
    for operation in operations:
        yield operation
        for block in operation.blocks:
            yield from _operations(block.operations, deep + 1)


def _port(feature: Any) -> Port:
    kind, words = feature.type.WhichOneof("Type") or "none", feature.shortDescription[:MOST_TEXT]
    if kind == "imageType":
        image = feature.type.imageType
        colours = image.ColorSpace.Name(image.colorSpace) if image.colorSpace in image.ColorSpace.values() else "unknown"
        shape = (image.height, image.width) if "GRAYSCALE" in colours else (image.height, image.width, 3)
        return Port(feature.name, "image", shape, colours=colours, words=words)
    if kind == "multiArrayType":
        array = feature.type.multiArrayType
        known = array.dataType in array.ArrayDataType.values()
        name = array.ArrayDataType.Name(array.dataType).lower().replace("double", "float64") if known else "unknown"
        return Port(feature.name, name, tuple(array.shape), words=words)
    return Port(feature.name, kind.removesuffix("Type"), (), words=words)


def _stored(value: Any) -> Stored:
    from targets.mil.library import proto

    tensor, names = value.type.tensorType, proto.MIL_pb2.DataType
    dtype = names.Name(tensor.dataType).lower() if tensor.dataType in names.values() else "unknown"
    shape = tuple(dimension.constant.size for dimension in tensor.dimensions)
    blob = value.blobFileValue if value.HasField("blobFileValue") else None
    return Stored(dtype, shape, blob.fileName, blob.offset) if blob else Stored(dtype, shape)


def _constants(operations: list[Any], weights: Path) -> Iterator[Constant]:
    """Each weight once, a compressed one with its scales or palette under the name of what it is decompressed to."""
    held = {o.outputs[0].name: _stored(o.attributes["val"]) for o in operations if o.type == "const" and o.outputs}
    seen: set[tuple[str, int]] = set()
    compressed = [operation for operation in operations if operation.type.startswith("constexpr_") and operation.outputs]
    for operation in compressed:
        given = _given(operation, held)
        name, dtype = operation.outputs[0].name, _compressed(operation.type, given)
        for value in given.values():
            yield from _weight(name, dtype, value, weights, seen)
    for name, value in held.items():
        yield from _weight(name, value.dtype, value, weights, seen)
    for operation in operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.HasField("value"):
                    value = _stored(binding.value)
                    yield from _weight(operation.outputs[0].name if operation.outputs else "", value.dtype, value, weights, seen)


def _given(operation: Any, held: dict[str, Stored]) -> dict[str, Stored]:
    """The parameters of a compression: attributes in iOS 16, inputs that name constants in iOS 18."""
    found = {name: _stored(value) for name, value in operation.attributes.items()}
    for name, argument in operation.inputs.items():
        for binding in argument.arguments:
            if binding.HasField("value"):
                found[name] = _stored(binding.value)
            elif binding.name in held:
                found[name] = held[binding.name]
    return found


def _compressed(kind: str, given: dict[str, Stored]) -> str:
    data = given.get("quantized_data") or given.get("data") or given.get("indices") or given.get("nonzero_data")
    if kind == "constexpr_lut_to_dense" and "lut" in given:
        return f"palette {_bits(given['lut'].shape, data)} bit"
    if "sparse" in kind:
        return "sparse"
    if data is None or "scale" not in given:
        return kind.removeprefix("constexpr_")
    scale = given["scale"].shape
    if kind == "constexpr_affine_dequantize" or len(scale) != len(data.shape):
        return f"{data.dtype} per {'channel' if scale and scale[0] > 1 else 'tensor'}"
    groups = [whole // parts for whole, parts in zip(data.shape[1:], scale[1:], strict=True) if parts > 1]
    if groups:
        return f"{data.dtype} group {groups[0]}"
    return f"{data.dtype} per {'channel' if max(scale, default=1) > 1 else 'tensor'}"


def _bits(lut: tuple[int, ...], indices: Stored | None) -> int:
    """iOS 18 says it by the type of the indices; in iOS 16 those are bytes, and the palette's length says it."""
    if indices and indices.dtype.startswith("uint") and len(indices.shape) > 1:
        return int(indices.dtype.removeprefix("uint"))
    return max(1, (max(lut, default=1) - 1).bit_length())


def _weight(name: str, dtype: str, value: Stored, weights: Path, seen: set[tuple[str, int]]) -> Iterator[Constant]:
    if value.file and (value.file, value.offset) not in seen:
        seen.add((value.file, value.offset))
        yield Constant(name, dtype, _size(weights / PurePosixPath(value.file).name, value.offset))


def _size(file: Path, offset: int) -> int:
    """The bytes of the weight whose record lies there. Raises DamagedFile where there is none, or the bytes are not there."""
    with file.open("rb") as opened:
        whole = opened.seek(0, 2)
        if offset + 64 > whole:
            raise DamagedFile(f"damaged: a weight behind the end of {file}")
        opened.seek(offset)
        sentinel, _, size, start = struct.unpack("<IIQQ", opened.read(24))
    if sentinel != SENTINEL or start + size > whole:
        raise DamagedFile(f"damaged: no weight at {offset} of {file}")
    return int(size)


def _metadata(description: Any, operations: list[Any]) -> Iterator[tuple[str, str]]:
    said = description.metadata
    pairs = [("description", said.shortDescription), ("version", said.versionString), ("author", said.author)]
    pairs += [("license", said.license), *said.userDefined.items()]
    pairs += [("predicted class", description.predictedFeatureName), ("probabilities", description.predictedProbabilitiesName)]
    yield from ((key, value[:MOST_TEXT]) for key, value in pairs if value)
    held = {o.outputs[0].name: o.attributes["val"] for o in operations if o.type == "const" and o.outputs}
    for operation in operations:
        if operation.type == "classify":
            labels = list(_labels(operation, held))
            yield "class labels", f"{len(labels)}: {', '.join(labels)}"[:MOST_TEXT]


def _labels(operation: Any, held: dict[str, Any]) -> Iterator[str]:
    for binding in operation.inputs["classes"].arguments:
        value = binding.value if binding.HasField("value") else held.get(binding.name)
        if value is not None:
            tensor = value.immediateValue.tensor
            yield from (label[:200] for label in tensor.strings.values)
            yield from map(str, tensor.longInts.values)
