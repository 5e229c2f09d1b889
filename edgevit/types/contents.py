"""What is in a model file, whoever made it: what goes in and out, its operators, and where its bytes are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """An input or output: "float32", its shape (0 for what is open), and of integers the `scale` and `zero` that they stand for.

    An image says the layout of its `colours`, "RGB", and a file may say what pixels become: (pixel - mean) / std.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero: int | None = None
    colours: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Operators:
    """So many operators of one kind in one place: `where`, a subgraph or method; `by` names the delegate that takes them, if any."""

    name: str
    count: int
    where: str
    by: str = ""


@dataclass(frozen=True)
class Delegate:
    """A back end and what it is given: so many `subgraphs`, with `nodes` in them (None: unknown), of so many bytes in the file."""

    name: str
    subgraphs: int
    nodes: int | None
    bytes: int


@dataclass(frozen=True)
class Layer:
    """Constants of one layer: its name, the `part` of a Transformer that the name tells ("block 3 MLP"; empty: none), their bytes,

    the type of the largest, "int8 per channel", and the share of the file.
    """

    name: str
    part: str
    dtype: str
    bytes: int
    share: float


@dataclass(frozen=True)
class Contents:
    """All that `edgevit inspect` found. `wants` is the format's version and what runs it; `metadata` are sorted pairs of text.

    Layers are in the order of the file. `notes` say what could not be read, and why.
    """

    file: str
    format: str
    bytes: int
    wants: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[Operators, ...]
    delegates: tuple[Delegate, ...]
    layers: tuple[Layer, ...]
    metadata: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """What a delegate takes of a file on this machine: its subgraphs and nodes, and the operators that are left, each with its count."""

    by: str
    subgraphs: int
    nodes: int
    left: tuple[tuple[str, int], ...]
