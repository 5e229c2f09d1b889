"""Integers into a TFLite file: each float matrix of its Linears that lies on a grid of the recipe becomes the recipe's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from torch import nn

from converters import flatbuffer, operator_versions
from converters.int8_graph import WEIGHTS, Int8Graph
from converters.linear import Held, held, matrix
from edgevit.errors import EdgevitError
from edgevit.vit.static import Rounding, StaticLinear


def store(model: nn.Module, path: Path, images: Rounding | None = None, answers: Rounding | None = None) -> None:
    """Put the integers of the Linears of `model` into the file, which was converted from their dequantized floats.

    Those that round what enters and leaves them compute in int8; the file takes `images` and gives `answers` so. A matrix is
    found by its floats, bit for bit. Raises EdgevitError where one is not there: the converter changed it.
    """
    wanted = _wanted(model)
    file = flatbuffer_utils.read_model(str(path))
    places = [(graph, tensor, _floats(file, tensor)) for graph in file.subgraphs for tensor in _weights(file, graph)]
    for graph, tensor, floats in places:
        if floats in wanted:
            _put(file, graph, tensor, wanted[floats][2])
    stored = {floats for _, _, floats in places}
    if lost := [name for floats, (name, _, found) in wanted.items() if floats not in stored and found.integers.any()]:
        raise EdgevitError(f"TFLite's converter changed the weights of {', '.join(lost)[:200]}")
    for graph in file.subgraphs:
        int8 = Int8Graph(file, graph)
        linears = {id(t): wanted[floats][1] for owner, t, floats in places if owner is graph and floats in wanted}
        for operator in [o for o in graph.operators if _is_linear(file, o)]:
            linear = linears.get(id(graph.tensors[operator.inputs[WEIGHTS]]))
            if isinstance(linear, StaticLinear):
                int8.linear(operator, linear)
            elif linear is not None:
                # XNNPACK has a zero point for each token in any case; kernels of runtimes without it only where this asks for it.
                operator.builtinOptions.asymmetricQuantizeInputs = True
        if images:
            int8.images(images)
        if answers:
            int8.answers(answers)
    operator_versions.settle(file)
    flatbuffer.write(file, path)


def _wanted(model: nn.Module) -> dict[bytes, tuple[str, nn.Linear, Held]]:
    """The quantized Linears by the hash of the floats of their matrices.

    Raises EdgevitError for two of one matrix whose activations have ranges of their own.
    """
    wanted: dict[bytes, tuple[str, nn.Linear, Held]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and (found := held(module)):
            floats = hashlib.sha256(matrix(module).numpy().tobytes()).digest()
            other = wanted.setdefault(floats, (name, module, found))[1]
            if isinstance(module, StaticLinear) and other is not module:
                both = f"{wanted[floats][0]} and {name}"
                raise EdgevitError(f"{both} have the same weights: their activations cannot be told apart")
    return wanted


def _weights(file: Any, graph: Any) -> list[Any]:
    """The tensors that Linears, and nothing else, read as their weights."""
    read = {int(o.inputs[WEIGHTS]) for o in graph.operators if _is_linear(file, o)}
    elsewhere = {
        int(t) for o in graph.operators for i, t in enumerate(o.inputs) if not (_is_linear(file, o) and i == WEIGHTS)
    }  # fmt: skip
    return [graph.tensors[i] for i in sorted(read - elsewhere)]


def _floats(file: Any, tensor: Any) -> bytes:
    """The hash of a tensor's bytes: of all matrices, the floats themselves would be another file."""
    data = file.buffers[tensor.buffer].data
    return hashlib.sha256(b"" if data is None else data).digest()


def _is_linear(file: Any, operator: Any) -> bool:
    return flatbuffer.builtin(file, operator) == int(schema.BuiltinOperator.FULLY_CONNECTED)


def _put(file: Any, graph: Any, tensor: Any, found: Held) -> None:
    tensor.type = schema.TensorType.INT4 if found.bits == 4 else schema.TensorType.INT8
    file.buffers[tensor.buffer].data = np.frombuffer(packed(found.integers.numpy(), found.bits), np.uint8)
    scale = found.scale.numpy()
    tensor.quantization = schema.QuantizationParametersT()
    if scale.shape[1] == 1:
        tensor.quantization.scale, tensor.quantization.zeroPoint = scale[:, 0], np.zeros(len(scale), np.int64)
        return
    groups = schema.BlockwiseQuantizationT()
    groups.scales, groups.zeroPoints, groups.blockSize = len(graph.tensors), -1, found.integers.shape[1] // scale.shape[1]
    scales = schema.TensorT()
    scales.name, scales.shape, scales.type = tensor.name + b"_scales", list(scale.shape), schema.TensorType.FLOAT16
    scales.buffer = flatbuffer.add_buffer(file, scale.astype(np.float16).tobytes())
    graph.tensors.append(scales)
    tensor.quantization.detailsType, tensor.quantization.details = schema.QuantizationDetails.BlockwiseQuantization, groups


def packed(integers: np.ndarray, bits: int) -> bytes:
    """int8 as they are; of 4 bits two in a byte, the first in its low half."""
    if bits == 8:
        return integers.tobytes()
    halves = integers.astype(np.uint8).reshape(-1) & 0xF
    return bytes(halves[::2] | halves[1::2] << 4)
