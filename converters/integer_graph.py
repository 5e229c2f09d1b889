"""What is left in floats of a TFLite file with int8 Linears becomes integers too: int16 in sums and norms, int8 in the rest.

Sums over a residual stream and the squares of a norm need more than 8 bits: with int8 there DeiT-Ti changes one answer in fifteen
(docs/log.md). All are operators that TFLite's specification has for those integers. Ranges are those of the file's own floats on
images to calibrate on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils

from converters import flatbuffer, operator_versions
from converters.flatbuffer import names
from edgevit.errors import EdgevitError
from edgevit.vit.static import Rounding

SUMS = ("ADD", "SUB", "MUL", "MEAN", "RSQRT")
"""Computed in int16."""
PRODUCTS = ("BATCH_MATMUL", "SOFTMAX", "GELU", "TANH")
"""Computed in int8."""
WEIGHTED = ("CONV_2D", "FULLY_CONNECTED")
"""Computed in int8, with weights that no recipe has rounded: one scale for each output channel."""
MOVES = ("RESHAPE", "TRANSPOSE", "SLICE", "MAX_POOL_2D", "PAD", "EXPAND_DIMS", "SQUEEZE")
"""Which keep the numbers as they are."""
FIXED = {"SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0)}
"""What these give in int8, by the specification."""
MARGIN = 1.5
"""Of an int16 beyond what calibration saw: it has bits to spare."""
MOST = {8: 127, 16: 32767}
TYPES = {8: schema.TensorType.INT8, 16: schema.TensorType.INT16}
Numbers = tuple[float, int]
"""Scale and zero."""


def complete(path: Path, images: np.ndarray) -> None:
    """Change the file, which takes int8 images as `images` (n, 1, H, W, 3) are. Raises EdgevitError for an operator that has no

    integers.
    """
    ranges = _ranges(path, images)
    file = flatbuffer_utils.read_model(str(path))
    (graph,) = file.subgraphs
    _Integers(file, graph, ranges).complete()
    operator_versions.settle(file)
    flatbuffer.write(file, path)


def floats(path: Path) -> list[str]:
    """The operators of a file that still read or write floats."""
    return [node.operator for node in flatbuffer.nodes(path) if any("FLOAT" in t.type for t in (*node.inputs, *node.outputs))]


def _ranges(path: Path, images: np.ndarray) -> dict[int, tuple[float, float]]:
    """The least and the largest number in every float tensor that is computed."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    computed = {int(t) for node in interpreter._get_ops_details() for t in node["outputs"]}
    wanted = [t["index"] for t in interpreter.get_tensor_details() if t["dtype"] is np.float32 and t["index"] in computed]
    found: dict[int, tuple[float, float]] = {}
    for image in images:
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        for index in wanted:
            values = interpreter.get_tensor(index)
            low, high = found.get(index, (0.0, 0.0))
            found[index] = min(low, float(values.min())), max(high, float(values.max()))
    return found


class _Integers:
    """One graph, rewritten operator by operator. `made` has the integers that stand for each tensor of floats, by their bits."""

    def __init__(self, file: Any, graph: Any, ranges: dict[int, tuple[float, float]]) -> None:
        self.file, self.graph, self.ranges = file, graph, ranges
        self.made: dict[int, dict[int, int]] = {}
        self.operators: list[Any] = []
        self.readers: dict[int, list[Any]] = {}
        for operator in graph.operators:
            for tensor in operator.inputs:
                self.readers.setdefault(int(tensor), []).append(operator)

    def complete(self) -> None:
        for operator in self.graph.operators:
            name = self._name(operator)
            if name == "DEQUANTIZE":
                self.made[int(operator.outputs[0])] = {8: int(operator.inputs[0])}
                continue
            if name == "QUANTIZE":
                operator.inputs = [self._any(int(operator.inputs[0]))]
            elif any(self._is_float(t) for t in (*operator.inputs, *operator.outputs)):
                self._integers(operator, name)
            self.operators.append(operator)
        self.graph.operators = self.operators

    def _integers(self, operator: Any, name: str) -> None:
        if name in MOVES:
            source = self._any(int(operator.inputs[0]))
            operator.inputs = [source, *operator.inputs[1:]]
            bits = 8 if self.graph.tensors[source].type == TYPES[8] else 16
            self._leaves(operator, bits, self._numbers(source))
        elif name == "CONCATENATION":
            numbers = self._wide(int(operator.outputs[0]))
            operator.inputs = [self._as(int(t), 16, numbers) for t in operator.inputs]
            self._leaves(operator, 16, numbers)
        elif name in SUMS:
            operator.inputs = [self._as(int(t), 16) if self._is_float(t) else t for t in operator.inputs]
            if hasattr(operator.builtinOptions, "potScaleInt16"):
                operator.builtinOptions.potScaleInt16 = False
            self._leaves(operator, 16, self._wide(int(operator.outputs[0])))
        elif name in WEIGHTED:
            self._weighted(operator)
        elif name in PRODUCTS:
            operator.inputs = [self._as(int(t), 8) if self._is_float(t) else t for t in operator.inputs]
            self._leaves(operator, 8, FIXED.get(name) or self._narrow(int(operator.outputs[0])))
        else:
            raise EdgevitError(f"TFLite's {name} has no integers here", "target tflite takes the model with floats between")

    def _weighted(self, operator: Any) -> None:
        entering, weights, *bias = (int(t) for t in operator.inputs)
        floats = self._content(weights)
        rows = floats.reshape(len(floats), -1)
        scale = np.maximum(np.abs(rows).max(1) / MOST[8], np.finfo(np.float32).tiny)
        integers = np.rint(rows / scale[:, None]).astype(np.int8)
        operator.inputs = [self._as(entering, 8), self._constant(weights, schema.TensorType.INT8, integers, scale)]
        sums = np.float64(self._numbers(operator.inputs[0])[0]) * scale
        for tensor in bias:
            whole = np.rint(self._content(tensor) / sums).astype(np.int32) if tensor >= 0 else None
            kept = tensor if whole is None else self._constant(tensor, schema.TensorType.INT32, whole, sums)
            operator.inputs.append(kept)
        self._leaves(operator, 8, self._narrow(int(operator.outputs[0])))

    def _any(self, tensor: int) -> int:
        """The integers that are there, with as many bits as there are."""
        if tensor not in self.made:
            return self._as(tensor, 16)
        return self.made[tensor][max(self.made[tensor])]

    def _as(self, tensor: int, bits: int, numbers: Numbers | None = None) -> int:
        """`tensor` in integers, once for all that read it so; those of a constant, or from those that there are."""
        made = self.made.setdefault(tensor, {})
        wanted = numbers or (self._wide(tensor) if bits == 16 else self._narrow(tensor))
        if bits in made and (numbers is None or self._numbers(made[bits]) == numbers):
            return made[bits]
        if tensor not in self.ranges:
            content = self._content(tensor)
            scale, zero = wanted
            integers = np.rint(content / scale + zero).clip(-MOST[bits] - 1, MOST[bits])
            found = self._constant(tensor, TYPES[bits], integers.astype(f"int{bits}"), np.array([scale]), zero)
        else:
            found = self._like(tensor, TYPES[bits], wanted)
            operator = schema.OperatorT()
            operator.opcodeIndex = flatbuffer.operator_code(self.file, schema.BuiltinOperator.QUANTIZE)
            operator.inputs, operator.outputs = [made[max(made)]], [found]
            self.operators.append(operator)
        if numbers is None:
            made[bits] = found
        return found

    def _leaves(self, operator: Any, bits: int, numbers: Numbers) -> None:
        floats = int(operator.outputs[0])
        self.made[floats] = {bits: self._like(floats, TYPES[bits], numbers)}
        operator.outputs = [self.made[floats][bits]]

    def _wide(self, tensor: int) -> Numbers:
        low, high = self._range(tensor)
        return max(-low, high, 1e-9) * MARGIN / MOST[16], 0

    def _narrow(self, tensor: int) -> Numbers:
        """As the Linear that this alone goes to, by moves, takes it; else between the ends that calibration saw."""
        end = tensor
        while len(self.readers.get(end, [])) == 1 and self._name(self.readers[end][0]) in MOVES:
            end = int(self.readers[end][0].outputs[0])
        taken = [reader for reader in self.readers.get(end, []) if self._name(reader) == "QUANTIZE"]
        if len(taken) == 1 == len(self.readers[end]):
            return self._numbers(int(taken[0].outputs[0]))
        return Rounding.between(*self._range(tensor)).single

    def _range(self, tensor: int) -> tuple[float, float]:
        if tensor in self.ranges:
            return self.ranges[tensor]
        content = self._content(tensor)
        return float(content.min()), float(content.max())

    def _content(self, tensor: int) -> np.ndarray:
        found = self.graph.tensors[tensor]
        shape = () if found.shape is None else tuple(found.shape)
        if (data := self.file.buffers[found.buffer].data) is None or not len(data):
            raise EdgevitError("TFLite: an operator takes weights that are computed, which have no integers here")
        return np.frombuffer(bytes(data), np.float32).reshape(shape)

    def _constant(self, tensor: int, kind: int, integers: np.ndarray, scale: np.ndarray, zero: int = 0) -> int:
        made = self._like(tensor, kind, None)
        found = self.graph.tensors[made]
        found.buffer = flatbuffer.add_buffer(self.file, integers.tobytes())
        found.quantization = schema.QuantizationParametersT()
        found.quantization.scale = scale.astype(np.float32)
        found.quantization.zeroPoint = np.full(len(scale), zero, np.int64)
        return made

    def _like(self, tensor: int, kind: int, numbers: Numbers | None) -> int:
        return flatbuffer.like(self.graph, tensor, kind, numbers)

    def _numbers(self, tensor: int) -> Numbers:
        found = self.graph.tensors[tensor].quantization
        return float(found.scale[0]), int(found.zeroPoint[0])

    def _is_float(self, tensor: int) -> bool:
        return tensor >= 0 and self.graph.tensors[int(tensor)].type == schema.TensorType.FLOAT32

    def _name(self, operator: Any) -> str:
        return names(schema.BuiltinOperator)[flatbuffer.builtin(self.file, operator)]
