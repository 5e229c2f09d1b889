"""The one input of a TFLite file as pixels, uint8, where it took them as floats or int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from converters import flatbuffer, operator_versions

PIXEL = (1.0, 0)
"""Scale and zero: the integer is the pixel."""


def take_pixels(path: Path) -> None:
    """Change the file to take uint8, whose numbers become what it took before: floats, or int8 at a scale of its own.

    The place of the input stays, for the signatures that name it.
    """
    file = flatbuffer_utils.read_model(str(path))
    (graph,) = file.subgraphs
    (given,) = (int(t) for t in graph.inputs)
    tensor = graph.tensors[given]
    floats = tensor.type == schema.TensorType.FLOAT32
    before = flatbuffer.like(graph, given, tensor.type, None)
    graph.tensors[before].quantization = tensor.quantization
    for operator in graph.operators:
        operator.inputs = [before if t == given else t for t in operator.inputs]
    tensor.type, tensor.quantization = schema.TensorType.UINT8, flatbuffer.quantization(*PIXEL)
    graph.operators.insert(0, _operator(file, "DEQUANTIZE" if floats else "QUANTIZE", given, before))
    operator_versions.settle(file)
    flatbuffer.write(file, path)


def _operator(file: Any, builtin: str, entering: int, leaving: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.operator_code(file, getattr(schema.BuiltinOperator, builtin))
    operator.inputs, operator.outputs = [entering], [leaving]
    return operator
