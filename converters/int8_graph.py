"""Activations of a TFLite file as int8 where a Linear reads or writes them; between Linears they are floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters import flatbuffer
from edgevit.vit.static import Rounding, StaticLinear

INPUT, WEIGHTS, BIAS = 0, 1, 2
"""Of a FULLY_CONNECTED."""


class Int8Graph:
    """One subgraph of a file, changed in place."""

    def __init__(self, file: Any, graph: Any) -> None:
        self.file, self.graph = file, graph
        self._rounded: dict[tuple[int, float, int], int] = {}

    def linear(self, operator: Any, linear: StaticLinear) -> None:
        """Let an operator whose weights are integers already compute what `linear` does: int8 in, int32 sums, int8 out."""
        entering, leaving = linear.entering.single, linear.leaving.single
        operator.inputs[INPUT] = self._int8_of(operator, int(operator.inputs[INPUT]), entering)
        weights = self.graph.tensors[operator.inputs[WEIGHTS]]
        if len(operator.inputs) > BIAS and operator.inputs[BIAS] >= 0:
            operator.inputs[BIAS] = self._sums(operator.inputs[BIAS], entering[0] * weights.quantization.scale)
        left = int(operator.outputs[0])
        operator.outputs = [self._like(left, schema.TensorType.INT8, leaving)]
        self._insert(self._after(operator), "DEQUANTIZE", operator.outputs[0], left)

    def images(self, rounding: Rounding) -> None:
        """The one input of the file as int8. Its place stays, for the signatures that name it."""
        (given,) = (int(t) for t in self.graph.inputs)
        self._insert(0, "DEQUANTIZE", given, self._taken_over(given, rounding))

    def answers(self, rounding: Rounding) -> None:
        """The one output of the file as int8."""
        (given,) = (int(t) for t in self.graph.outputs)
        self._insert(len(self.graph.operators), "QUANTIZE", self._taken_over(given, rounding), given)

    def _taken_over(self, given: int, rounding: Rounding) -> int:
        """A new tensor of floats in the place of `given` for all operators; `given` becomes int8."""
        floats = self._like(given, schema.TensorType.FLOAT32, None)
        for operator in self.graph.operators:
            operator.inputs = [floats if t == given else t for t in operator.inputs]
            operator.outputs = [floats if t == given else t for t in operator.outputs]
        tensor = self.graph.tensors[given]
        tensor.type, tensor.quantization = schema.TensorType.INT8, flatbuffer.quantization(*rounding.single)
        return floats

    def _int8_of(self, operator: Any, tensor: int, rounding: tuple[float, int]) -> int:
        """`tensor` rounded, once for all that read it so."""
        key = (tensor, *rounding)
        if key not in self._rounded:
            self._rounded[key] = self._like(tensor, schema.TensorType.INT8, rounding)
            self._insert(self._after(operator) - 1, "QUANTIZE", tensor, self._rounded[key])
        return self._rounded[key]

    def _sums(self, bias: int, scale: np.ndarray) -> int:
        floats = np.frombuffer(bytes(self.file.buffers[self.graph.tensors[bias].buffer].data), np.float32)
        made = self._like(bias, schema.TensorType.INT32, None)
        tensor = self.graph.tensors[made]
        whole = np.iinfo(np.int32)
        sums = np.round(floats.astype(np.float64) / scale).clip(whole.min, whole.max).astype(np.int32)
        tensor.buffer = flatbuffer.add_buffer(self.file, sums.tobytes())
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scale.astype(np.float32), np.zeros(len(scale), np.int64)
        return made

    def _like(self, index: int, kind: int, rounding: tuple[float, int] | None) -> int:
        return flatbuffer.like(self.graph, index, kind, rounding)

    def _after(self, operator: Any) -> int:
        return next(i for i, other in enumerate(self.graph.operators) if other is operator) + 1

    def _insert(self, place: int, builtin: str, entering: int, leaving: int) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex = flatbuffer.operator_code(self.file, getattr(schema.BuiltinOperator, builtin))
        operator.inputs, operator.outputs = [entering], [leaving]
        self.graph.operators.insert(place, operator)
