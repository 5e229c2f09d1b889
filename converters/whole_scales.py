"""One scale for each matrix of integers, and those of its channels behind it: what runtimes without scales per channel compute.

The integers stay. x @ (scale * q) + bias is (x @ q) * scale + bias, each channel's scale a number of a constant vector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from converters import flatbuffer, operator_versions
from converters.int8_graph import BIAS, WEIGHTS

ONE = (1.0, 0)
HYBRID = 5
"""FULLY_CONNECTED of floats and integers that keeps its dimensions: the version before scales per channel."""


def take_out(path: Path) -> int:
    """Change the file; how many Linears were changed."""
    file = flatbuffer_utils.read_model(str(path))
    done = 0
    for graph in file.subgraphs:
        for operator in list(graph.operators):
            if _per_channel(file, graph, operator):
                _apart(file, graph, operator)
                done += 1
    if done:
        _oldest(file)
    operator_versions.settle(file)
    flatbuffer.write(file, path)
    return done


def _per_channel(file: Any, graph: Any, operator: Any) -> bool:
    if flatbuffer.builtin(file, operator) != schema.BuiltinOperator.FULLY_CONNECTED:
        return False
    entering, weights = (graph.tensors[int(t)] for t in operator.inputs[: WEIGHTS + 1])
    return bool(entering.type == schema.TensorType.FLOAT32 and weights.type == schema.TensorType.INT8)


def _apart(file: Any, graph: Any, operator: Any) -> None:
    weights, left = graph.tensors[int(operator.inputs[WEIGHTS])], int(operator.outputs[0])
    scale = np.asarray(weights.quantization.scale, np.float32)
    weights.quantization = flatbuffer.quantization(*ONE)
    bias = int(operator.inputs[BIAS]) if len(operator.inputs) > BIAS and operator.inputs[BIAS] >= 0 else None
    operator.inputs = [*operator.inputs[:BIAS], -1]
    product, scaled = (flatbuffer.like(graph, left, schema.TensorType.FLOAT32, None) for _ in range(2))
    operator.outputs = [product]
    place = next(i for i, other in enumerate(graph.operators) if other is operator) + 1
    vector = _vector(file, graph, scale)
    graph.operators.insert(place, _binary(file, "MUL", product, vector, left if bias is None else scaled))
    if bias is not None:
        graph.operators.insert(place + 1, _binary(file, "ADD", scaled, bias, left))


def _vector(file: Any, graph: Any, numbers: np.ndarray) -> int:
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.name = [len(numbers)], schema.TensorType.FLOAT32, b"scales_%d" % len(graph.tensors)
    tensor.buffer = flatbuffer.add_buffer(file, numbers.tobytes())
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _binary(file: Any, builtin: str, x: int, y: int, leaving: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.operator_code(file, getattr(schema.BuiltinOperator, builtin))
    operator.inputs, operator.outputs = [x, y], [leaving]
    options = {"MUL": schema.MulOptionsT, "ADD": schema.AddOptionsT}[builtin]
    operator.builtinOptions, operator.builtinOptionsType = options(), getattr(schema.BuiltinOptions, f"{options.__name__[:-1]}")
    return operator


def _oldest(file: Any) -> None:
    """The version that its Linears need now: none has scales per channel any more."""
    for code in file.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.FULLY_CONNECTED:
            code.version = HYBRID
