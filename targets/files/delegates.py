"""What ExecuTorch's delegates are given: graphs of XNNPACK and Vulkan, flatbuffers of their own with their constants behind.

Source of the slots: schema.fbs in backends/xnnpack/serialization and backends/vulkan/serialization, fields in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgevit.errors import DamagedFile
from targets.files.parts import Constant
from targets.files.tables import Flatbuffer, Table

XNODES = (
    "None", "Add", "FullyConnected", "Softmax", "Sigmoid", "StaticTranspose", "Clamp", "Conv2d", "Div", "StaticResizeBilinear2D",
    "StaticConstantPad", "AvgPooling2d", "Minimum", "DepthwiseConv2d", "MaxPooling2d", "Multiply", "Subtract", "Floor", "Convert",
    "GlobalAvgPooling2d", "StaticReshape", "ArgMaxPooling2d", "SquareRoot", "Ceiling", "Hardswish", "LeakyReLU", "Maximum",
    "Negate", "Square", "ELU", "Abs", "PReLU", "Concatenate2", "Concatenate3", "Concatenate4", "StaticSlice",
    "ScaledDotProductAttention",
    "BatchMatrixMultiply", "Concatenate5", "ConvTranspose2d", "ReciprocalSquareRoot", "Log", "Gelu", "Tanh", "Exp", "Sin", "Copy",
    "Cos",
)  # fmt: skip
"""XNodeUnion, in its order."""
READS = {
    "FullyConnected": (1, 2), "Conv2d": (16, 17), "DepthwiseConv2d": (16, 17), "ConvTranspose2d": (16, 17), "Add": (0, 1),
    "Multiply": (0, 1), "Subtract": (0, 1), "Div": (0, 1), "BatchMatrixMultiply": (0, 1), "PReLU": (0, 1), "Minimum": (0, 1),
    "Maximum": (0, 1), "Concatenate2": (1, 2), "Concatenate3": (1, 2, 3), "Concatenate4": (1, 2, 3, 4),
}  # fmt: skip
"""The slots of a node that may name a constant, weights first."""
XTYPES = {
    1: "float32", 2: "float16", 3: "int8 per tensor", 4: "uint8 per tensor", 5: "int32 per tensor", 6: "int8 per channel",
    7: "int32 per channel", 8: "int4 per channel", 9: "int8 dynamic", 10: "int4", 11: "int8 dynamic", 12: "int32", 14: "bfloat16",
}  # fmt: skip
PER_CHANNEL, PER_GROUP = 1, 4
"""Of XNNQuantParams."""
VKTYPES = {0: "bool", 1: "uint8", 2: "int8", 3: "int32", 4: "float16", 5: "float32", 6: "float64", 7: "int64"}
VKTENSOR = 5
"""Of GraphTypes."""

Named = Callable[[str], int]
"""The bytes of data that the program holds under a name, once: nothing where it was asked for before."""


@dataclass(frozen=True)
class Given:
    """How many nodes of each kind, and the constants that lie in the delegate's part of the file or are named there."""

    nodes: Counter[str]
    constants: tuple[Constant, ...]


def _payload(blob: Flatbuffer, magic: bytes) -> Table:
    """The graph behind the header that both delegates have."""
    if blob.read(4, 4) != magic:
        raise DamagedFile(f"damaged, or of another version: {blob.name}")
    start, size = (blob.integer("I", place) for place in (10, 14))
    return blob.within(start, size, "the graph").root()


def xnnpack(blob: Flatbuffer, named: Named) -> Given:
    """Raises DamagedFile."""
    graph = _payload(blob, b"XH00")
    held = [_bytes(entry, named) for entry in graph.tables(8)]
    values = dict(_xvalue(value) for value in graph.tables(2))
    nodes: Counter[str] = Counter()
    constants: list[Constant] = []
    for number, node in enumerate(graph.tables(1)):
        kind = node.integer(0, "B")
        name = XNODES[kind] if kind < len(XNODES) else f"node {kind}"
        nodes[name] += 1
        inner = node.table(1)
        ids = [inner.integer(slot, "I") for slot in READS.get(name, ())] if inner else []
        read = [values.pop(one) for one in ids if one in values and values[one].place]
        constants += _of_node(f"{number} {name}", read, held)
    for value in values.values():
        constants += _of_node("constant", [value], held) if value.place else []
    return Given(nodes, tuple(constants))


@dataclass(frozen=True)
class _Value:
    """A tensor: its type, shape, and where its bytes and its scales are among the constants; 0 for nowhere."""

    dtype: str
    shape: tuple[int, ...]
    place: int
    scales: int = 0


def _xvalue(value: Table) -> tuple[int, _Value]:
    inner = value.table(1)
    quantized = inner if value.integer(0, "B") == 2 else None
    tensor = quantized.table(0) if quantized else inner
    if tensor is None:
        raise DamagedFile(f"damaged: {value.file.name}: a value without a tensor")
    dtype, scales = XTYPES.get(tensor.integer(0, "h"), "unknown"), 0
    kind, params = (quantized.integer(1, "B"), quantized.table(2)) if quantized else (0, None)
    if params and kind == PER_CHANNEL:
        scales = params.integer(2, "I")
    elif params and kind == PER_GROUP:
        dtype, scales = f"{dtype} group {params.integer(2, 'i')}", params.integer(4, "I")
    return tensor.integer(6, "I"), _Value(dtype, tensor.integers(2, "I"), tensor.integer(3, "I"), scales)


def _bytes(entry: Table, named: Named) -> int:
    key = entry.text(2)
    return named(key) if key else entry.integer(1, "Q")


def _of_node(name: str, values: list[_Value], held: list[int]) -> Iterator[Constant]:
    """The constants that a node reads, all under one name with the shape of the first."""
    for value in values:
        shape = "x".join(map(str, values[0].shape))
        size = sum(held[place] for place in (value.place, value.scales) if 0 < place < len(held))
        for place in (value.place, value.scales):
            if 0 < place < len(held):
                held[place] = 0
        yield Constant(f"{name} {shape}", value.dtype, size)


def vulkan(blob: Flatbuffer, named: Named) -> Given:
    """Raises DamagedFile."""
    graph = _payload(blob, b"VH00")
    held = [0, *(_bytes(entry, named) for entry in graph.tables(5))]
    values = [_vkvalue(value) for value in graph.tables(2)]
    nodes: Counter[str] = Counter()
    constants: list[Constant] = []
    for number, call in enumerate(graph.tables(1)):
        name = call.text(1)
        nodes[name] += 1
        read = [found for arg in call.integers(2, "i") if 0 <= arg < len(values) and (found := values[arg])]
        constants += _of_node(f"{number} {name}", read, held)
    return Given(nodes, tuple(constants))


def _vkvalue(value: Table) -> _Value | None:
    """A constant tensor, its place counted from 1 as XNNPACK's are; None for all else."""
    tensor = value.table(1) if value.integer(0, "B") == VKTENSOR else None
    if tensor is None or tensor.integer(2, "i") < 0:
        return None
    return _Value(VKTYPES.get(tensor.integer(0, "b"), "unknown"), tensor.integers(1, "I"), tensor.integer(2, "i") + 1)
