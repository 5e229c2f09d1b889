"""The operators of a TFLite file as plain values, to be judged without a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

BESIDES, ALIGNED, IDENTIFIER = 4 << 20, 64, b"TFL3"
"""Bytes for all that is not weights, which may be more; what a buffer's length must be a multiple of; of the schema."""
EMPTY = 0
"""The buffer of tensors that are computed, by the schema."""


@dataclass(frozen=True)
class Operand:
    """A tensor: its place in the file, "FLOAT32", its shape; `constant` where the file holds its numbers."""

    index: int
    type: str
    shape: tuple[int, ...]
    constant: bool = False


@dataclass(frozen=True)
class Node:
    """One operator, "CONV_2D", with its operands. `options` by their names in the schema; `axes` of a reduction."""

    operator: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    options: dict[str, Any]
    axes: tuple[int, ...] = ()


def nodes(path: Path) -> tuple[Node, ...]:
    """Every operator of the file, in order of execution. A constant that is only widened counts as the constant it is."""
    model = flatbuffer_utils.read_model(str(path))
    return tuple(found for graph in model.subgraphs for found in _nodes(model, graph))


def write(model: Any, path: Path) -> None:
    """Write the file, whose room is made at once: a builder that grows copies all weights each time, and once more at last."""
    held = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder((held + BESIDES) // ALIGNED * ALIGNED)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    with path.open("wb") as file:
        file.write(memoryview(builder.Bytes)[builder.Head() :])


def builtin(model: Any, operator: Any) -> int:
    """The number of an operator in the schema: files of older schemas have it in a field of their own."""
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def add_buffer(model: Any, content: bytes) -> int:
    """A new buffer of the file; its place."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def like(graph: Any, index: int, kind: int, numbers: tuple[float, int] | None) -> int:
    """A new tensor of the shape of another, of integers of `kind` with these scale and zero; its place."""
    other, tensor = graph.tensors[index], schema.TensorT()
    tensor.shape, tensor.shapeSignature, tensor.type = other.shape, other.shapeSignature, kind
    tensor.name, tensor.buffer = b"%s_%d" % (other.name, len(graph.tensors)), EMPTY
    if numbers:
        tensor.quantization = quantization(*numbers)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def quantization(scale: float, zero: int) -> Any:
    """Of a whole tensor."""
    found = schema.QuantizationParametersT()
    found.scale, found.zeroPoint = np.array([scale], np.float32), np.array([zero], np.int64)
    return found


def operator_code(model: Any, builtin: int) -> int:
    """The place of a builtin operator in the file's list of those that it uses, where it is put if it is not there."""
    for place, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
            return place
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _nodes(model: Any, graph: Any) -> list[Node]:
    known = names(schema.BuiltinOperator)
    widened: set[int] = set()
    found: list[Node] = []
    for operator in graph.operators:
        name = known[builtin(model, operator)]
        inputs = [i for i in operator.inputs if i >= 0]
        operands = tuple(_operand(model, graph, i, widened) for i in inputs)
        if name == "DEQUANTIZE" and operands[0].constant:
            widened |= set(operator.outputs)
        outputs = tuple(_operand(model, graph, i, widened) for i in operator.outputs)
        options = vars(operator.builtinOptions) if operator.builtinOptions else {}
        axes = _integers(model, graph, inputs[1]) if name == "MEAN" else ()
        found.append(Node(name, operands, outputs, options, axes))
    return found


def _operand(model: Any, graph: Any, index: int, widened: set[int]) -> Operand:
    tensor = graph.tensors[index]
    data = model.buffers[tensor.buffer].data
    shape = () if tensor.shape is None else tuple(int(n) for n in tensor.shape)
    constant = index in widened or (data is not None and len(data) > 0)
    return Operand(int(index), names(schema.TensorType)[tensor.type], shape, constant)


def _integers(model: Any, graph: Any, index: int) -> tuple[int, ...]:
    data = model.buffers[graph.tensors[index].buffer].data
    return () if data is None else tuple(memoryview(bytes(data)).cast("i"))


@cache
def names(enumeration: type) -> dict[int, str]:
    """Those of a schema's numbers."""
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}
