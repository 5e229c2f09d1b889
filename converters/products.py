"""Products of matrices in a TFLite file, lifted to rank 4: torch.export writes each as one of rank 3, with heads for a batch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from converters import flatbuffer


def lift_products(path: Path) -> int:
    """Turn products (b, m, k) x (b, k, n) between reshapes into (1, b, m, k) x (1, b, k, n); how many there were.

    A product of a batch of one may have been written in rank 2. A reshape that has nothing left to do goes.
    """
    model = flatbuffer_utils.read_model(str(path))
    lifted = sum(_Graph(model, graph).lift() for graph in model.subgraphs)
    flatbuffer.write(model, path)
    return lifted


class _Graph:
    """The operators of one subgraph, changed in place."""

    def __init__(self, model: Any, graph: Any) -> None:
        self.model, self.graph = model, graph

    def lift(self) -> int:
        products = [o for o in self._all("BATCH_MATMUL") if len(self._shape(o.outputs[0])) < 4]
        reshapes = {int(o.outputs[0]): o for o in self._all("RESHAPE")}
        free = [product for product in products if self._between_reshapes(product, reshapes)]
        for tensor in {int(t) for product in free for t in product.inputs}:
            self._lift_tensor(tensor)
            reshapes[tensor].inputs[1] = self._constant(self._shape(tensor))
            if reshapes[tensor].builtinOptions:
                reshapes[tensor].builtinOptions.newShape = self._shape(tensor)
        for product in free:
            self._lift_tensor(product.outputs[0])
        self._drop_idle_reshapes()
        return len(free)

    def _between_reshapes(self, product: Any, reshapes: dict[int, Any]) -> bool:
        """Whether reshapes alone made what it reads, it alone reads that, and reshapes alone read what it makes."""
        made = all(int(t) in reshapes and len(self._readers(t)) == 1 for t in product.inputs)
        read = self._readers(product.outputs[0])
        return made and bool(read) and all(self._is(reader, "RESHAPE") for reader in read)

    def _drop_idle_reshapes(self) -> None:
        """Those from a shape to itself, but for one that makes an answer of the file; then those that nobody reads."""
        for reshape in self._all("RESHAPE"):
            entered, left = reshape.inputs[0], reshape.outputs[0]
            if self._shape(entered) == self._shape(left) and left not in self.graph.outputs:
                for reader in self._readers(left):
                    reader.inputs = [entered if t == left else t for t in reader.inputs]
        read = Counter(int(t) for operator in self.graph.operators for t in operator.inputs)
        read.update(int(t) for t in self.graph.outputs)
        self.graph.operators = [o for o in self.graph.operators if read[int(o.outputs[0])] or not self._is(o, "RESHAPE")]

    def _lift_tensor(self, index: int) -> None:
        tensor = self.graph.tensors[index]
        shape = self._shape(index)
        tensor.shape, tensor.shapeSignature = [1] * (4 - len(shape)) + shape, None

    def _constant(self, numbers: list[int]) -> int:
        """A new tensor that holds `numbers`; its place in the graph."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = [len(numbers)], schema.TensorType.INT32, f"shape_of_{len(self.graph.tensors)}"
        tensor.buffer = flatbuffer.add_buffer(self.model, np.array(numbers, np.int32).tobytes())
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _all(self, builtin: str) -> list[Any]:
        return [operator for operator in self.graph.operators if self._is(operator, builtin)]

    def _is(self, operator: Any, builtin: str) -> bool:
        return flatbuffer.builtin(self.model, operator) == getattr(schema.BuiltinOperator, builtin)

    def _readers(self, tensor: int) -> list[Any]:
        return [operator for operator in self.graph.operators if tensor in operator.inputs]

    def _shape(self, tensor: int) -> list[int]:
        return [int(n) for n in self.graph.tensors[tensor].shape]
