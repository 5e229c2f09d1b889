"""The version that each operator of a TFLite file needs for its integers, as LiteRT's tools/versioning/op_version.cc has them.

A runtime that is older refuses such a file. Without, some compute garbage: that of tflite-support reads one scale
where a Linear has one for each channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.flatbuffer import builtin, names

BY_INPUT = {
    "ADD": {"INT8": 2, "INT16": 3}, "SUB": {"INT8": 2, "INT16": 5}, "MUL": {"INT8": 2, "INT16": 4},
    "MEAN": {"INT8": 2, "INT16": 3}, "RSQRT": {"INT8": 2, "INT16": 3}, "SOFTMAX": {"INT8": 2, "INT16": 3},
    "BATCH_MATMUL": {"INT8": 2, "INT16": 3}, "CONCATENATION": {"INT8": 2, "INT16": 3}, "TRANSPOSE": {"INT8": 2, "INT16": 5},
    "SLICE": {"INT8": 2, "INT16": 4}, "MAX_POOL_2D": {"INT8": 2, "INT16": 3}, "PAD": {"INT8": 2, "INT16": 3},
    "GELU": {"INT8": 2}, "TANH": {"INT8": 2, "INT16": 3}, "CONV_2D": {"INT8": 3}, "DEQUANTIZE": {"INT8": 2},
}  # fmt: skip
TO_INT16 = 2
"""QUANTIZE."""
WHOLE, WHOLE_IN_SHAPE, WHOLE_UNBIASED, ZERO_POINTS, PER_CHANNEL, GROUPED = 4, 5, 6, 9, 12, 14
"""FULLY_CONNECTED of int8: all of it, such that keeps its dimensions, or has no bias; behind floats, whose integers have a zero

point for each token, and with a scale per channel.

Scales of groups have no version of their own. TensorFlow 2.19 has 13 and reads past them: garbage, or a crash; LiteRT has 14.
"""
RUNTIMES = {PER_CHANNEL: (2, 17), GROUPED: (2, 20)}
"""The first TensorFlow Lite with a version of FULLY_CONNECTED, by tools/versioning/runtime_version.cc; 2.19 lacks the last."""
GELU = (2, 9)
"""The first with that operator, the newest that a ViT of floats needs."""
LEAST = b"min_runtime_version"
"""What a file says that it wants, in a buffer of 16 bytes."""


def settle(file: Any) -> None:
    """Raise the version of each operator to what it needs, and that of the runtime which the file says that it wants."""
    for graph in file.subgraphs:
        for operator in graph.operators:
            code = file.operatorCodes[operator.opcodeIndex]
            code.version = max(code.version, _needed(file, graph, operator))
    linears = [RUNTIMES.get(code.version, GELU) for code in file.operatorCodes if _is_linear(code)]
    for entry in (entry for entry in file.metadata or () if entry.name == LEAST):
        major, minor = max(linears, default=GELU)
        file.buffers[entry.buffer].data = np.frombuffer(f"{major}.{minor}.0".encode().ljust(16, b"\0"), np.uint8)


def _is_linear(code: Any) -> bool:
    return bool(max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.FULLY_CONNECTED)


def _needed(file: Any, graph: Any, operator: Any) -> int:
    name = names(schema.BuiltinOperator)[builtin(file, operator)]
    entering, leaving = _type(graph, operator.inputs[0]), _type(graph, operator.outputs[0])
    if name == "QUANTIZE":
        return TO_INT16 if leaving == "INT16" else 1
    if name == "FULLY_CONNECTED":
        return _linear(graph, operator, entering)
    return BY_INPUT.get(name, {}).get(entering, 1)


def _linear(graph: Any, operator: Any, entering: str) -> int:
    weights = graph.tensors[operator.inputs[1]]
    if weights.quantization and weights.quantization.detailsType == schema.QuantizationDetails.BlockwiseQuantization:
        return GROUPED
    if _type(graph, operator.inputs[1]) != "INT8":
        return 1
    if entering == "FLOAT32":
        plain = ZERO_POINTS if operator.builtinOptions.asymmetricQuantizeInputs else 1
        return PER_CHANNEL if len(weights.quantization.scale) > 1 else plain
    if len(operator.inputs) == 2 or operator.inputs[2] < 0:
        return WHOLE_UNBIASED
    return WHOLE_IN_SHAPE if operator.builtinOptions.keepNumDims else WHOLE


def _type(graph: Any, tensor: int) -> str:
    return names(schema.TensorType)[graph.tensors[int(tensor)].type]
