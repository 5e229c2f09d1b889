"""A TFLite model as its flatbuffer has it. Source of the slots: schema.fbs of LiteRT, fields in their order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from edgevit.errors import DamagedFile, NotInstalled
from edgevit.types import Contents, Operators, Port
from targets.files import tables
from targets.files.parts import Constant, layers
from targets.files.tables import Flatbuffer, Table
from targets.files.tflite_metadata import Said, associated, said

METADATA = "TFLITE_METADATA"
BLOCKWISE = 2
CUSTOM = 32


@dataclass(frozen=True)
class Tensor:
    """As the file describes it: its type with its quantization, "int8 per channel", and the number of its buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    buffer: int
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    quantized: str

    def port(self) -> Port:
        whole = len(self.scales) == 1
        scale, zero = (self.scales[0], self.zeros[0] if self.zeros else 0) if whole else (None, None)
        return Port(self.name, self.dtype, self.shape, scale, zero)


def read(path: Path) -> Contents:
    """Raises DamagedFile, NotInstalled."""
    file = tables.opened(path)
    model, size = file.root(), len(file.data)
    buffers = [_extent(file, buffer) for buffer in model.tables(4)]
    graphs = [(graph, [_tensor(tensor) for tensor in graph.tables(0)]) for graph in model.tables(2)]
    if not graphs:
        raise DamagedFile(f"a TFLite model without a graph: {path}")
    kept = {entry.text(0): entry.integer(1, "I") for entry in model.tables(6)}
    told = said(_buffer(file, buffers, kept[METADATA])) if METADATA in kept else Said()
    inputs, outputs = _ports(model, *graphs[0])
    operators, versions = _operators(model, graphs)
    constants = (constant for _, tensors in graphs for constant in _constants(tensors, buffers))
    return Contents(
        file=str(path),
        format="TFLite",
        bytes=size,
        wants=_wants(model, file, buffers, kept),
        inputs=tuple(told.port(told.inputs, i, port) for i, port in enumerate(inputs)),
        outputs=tuple(told.port(told.outputs, i, port) for i, port in enumerate(outputs)),
        operators=operators,
        delegates=(),
        layers=layers(_once(constants, buffers), size, str(path)),
        metadata=tuple(sorted([*told.pairs, *_pairs(model, kept, versions), *associated(path)])),
    )


@dataclass(frozen=True)
class _Extent:
    """Where the bytes of a buffer lie, within the flatbuffer or behind it."""

    start: int
    size: int


def _extent(file: Flatbuffer, buffer: Table) -> _Extent:
    """ai-edge-quantizer, and whoever makes files over 2 GB, puts the bytes behind the flatbuffer."""
    offset, size = buffer.integer(1, "Q"), buffer.integer(2, "Q")
    if offset > 1:
        file.require(offset, size)
        return _Extent(offset, size)
    vector = buffer.vector(0, 1)
    return _Extent(vector.at, vector.count)


def _buffer(file: Flatbuffer, buffers: list[_Extent], number: int) -> Flatbuffer:
    if number >= len(buffers):
        raise DamagedFile(f"damaged: {file.name}: it has no buffer {number}")
    return file.within(buffers[number].start, buffers[number].size, METADATA)


def _tensor(tensor: Table) -> Tensor:
    dtype = _names("TensorType").get(tensor.integer(1, "b"), "unknown").lower()
    quantization = tensor.table(4)
    signature = tensor.integers(7, "i")
    shape = tuple(max(0, size) for size in signature or tensor.integers(0, "i"))
    found = Tensor(tensor.text(3), dtype, shape, tensor.integer(2, "I"), (), (), dtype)
    if quantization is None:
        return found
    scales, zeros = quantization.reals(2), quantization.integers(3, "q")
    details = quantization.table(5) if quantization.integer(4, "B") == BLOCKWISE else None
    if details:
        return replace(found, quantized=f"{dtype} group {details.integer(2, 'i')}")
    grain = "per channel" if len(scales) > 1 else "per tensor"
    return replace(found, scales=scales, zeros=zeros, quantized=f"{dtype} {grain}" if scales else dtype)


@cache
def _names(enumeration: str) -> dict[int, str]:
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise NotInstalled("TFLite files need what is not installed: ai_edge_litert", "pip install 'edgevit[tflite]'") from error
    return {number: name for name, number in vars(getattr(schema, enumeration)).items() if isinstance(number, int)}


def _ports(model: Table, graph: Table, tensors: list[Tensor]) -> tuple[list[Port], list[Port]]:
    """Those of the first graph, by the names that its signature gives them where it has one."""
    signature = next((found for found in model.tables(7) if found.integer(4, "I") == 0), None)
    ports = []
    for slot, side in ((1, 0), (2, 1)):
        given = {entry.integer(1, "I"): entry.text(0) for entry in signature.tables(side)} if signature else {}
        found = []
        for index in graph.integers(slot, "i"):
            if not 0 <= index < len(tensors):
                raise DamagedFile(f"damaged: {graph.file.name}: it has no tensor {index}")
            port = tensors[index].port()
            found.append(replace(port, name=given.get(index) or port.name))
        ports.append(found)
    return ports[0], ports[1]


def _operators(model: Table, graphs: list[tuple[Table, list[Tensor]]]) -> tuple[tuple[Operators, ...], dict[str, int]]:
    """How many of each kind are in each graph, and the version of each kind."""
    kinds, versions = [], {}
    for code in model.tables(1):
        number = max(code.integer(0, "b"), code.integer(3, "i"))
        name = _names("BuiltinOperator").get(number, f"operator {number}")
        name = f"custom {code.text(1)}" if number == CUSTOM else name
        kinds.append(name)
        versions[name] = code.integer(2, "i", 1)
    found = []
    for number, (graph, _) in enumerate(graphs):
        where = graph.text(4) or f"graph {number}"
        places = Counter(operator.integer(0, "I") for operator in graph.tables(3))
        if any(place >= len(kinds) for place in places):
            raise DamagedFile(f"damaged: {graph.file.name}: an operator that it does not name")
        counts: Counter[str] = Counter()
        for place, count in places.items():
            counts[kinds[place]] += count
        found += [Operators(name, count, where) for name, count in counts.most_common()]
    return tuple(found), versions


def _constants(tensors: list[Tensor], buffers: list[_Extent]) -> Iterator[tuple[int, Constant]]:
    for tensor in tensors:
        if 0 < tensor.buffer < len(buffers) and buffers[tensor.buffer].size:
            yield tensor.buffer, Constant(tensor.name, tensor.quantized, buffers[tensor.buffer].size)


def _once(constants: Iterator[tuple[int, Constant]], buffers: list[_Extent]) -> Iterator[Constant]:
    """Of constants in the same bytes the first."""
    seen = set()
    for number, constant in constants:
        if buffers[number] not in seen:
            seen.add(buffers[number])
            yield constant


def _wants(model: Table, file: Flatbuffer, buffers: list[_Extent], kept: dict[str, int]) -> str:
    least = ""
    if "min_runtime_version" in kept:
        extent = _buffer(file, buffers, kept["min_runtime_version"])
        least = re.sub(r"[^0-9.]", "", extent.read(0, min(extent.end - extent.start, 32)).decode(errors="replace"))
    return f"TFLite schema {model.integer(0, 'I')}" + (f", runtime {least} or later" if least else "")


def _pairs(model: Table, kept: dict[str, int], versions: dict[str, int]) -> list[tuple[str, str]]:
    pairs = [("converted by", model.text(3))] * bool(model.text(3))
    pairs += [("operator versions", ", ".join(f"{name} {number}" for name, number in sorted(versions.items())))] * bool(versions)
    return pairs + [("metadata entries", ", ".join(sorted(kept)))] * bool(kept)
