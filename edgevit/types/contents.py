"""What is in a model file, whoever made it: what goes in and out, its operators, and where its bytes are."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 0.001
"""The share of the file from which on a layer is shown by itself."""


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
    """So many operators of one kind: `where`, a subgraph or method; `by` names the delegate that takes them.

    It is empty where none does, and "unknown" where that could not be asked.
    """

    name: str
    count: int
    where: str
    by: str = ""


@dataclass(frozen=True)
class Delegate:
    """A back end and what it is given: so many `subgraphs`, with `nodes` in them, of so many bytes of the file.

    None: unknown, and not apart from the rest of the file.
    """

    name: str
    subgraphs: int
    nodes: int | None
    bytes: int | None


@dataclass(frozen=True)
class Layer:
    """Constants of one layer: its name, the `part` of a Transformer that the name tells ("block 3 MLP"; empty: none), the type

    of the largest, "int8 per channel", their bytes, and the share of the file.
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

    def parts(self, most: int) -> tuple[Layer, ...]:
        """The layers by what part of a Transformer they are: embedding, blocks, head. Then those without one, the largest first.

        Of these only so many, and none under a thousandth of the file; the others are one row.
        """
        groups: dict[str, list[Layer]] = {}
        for layer in self.layers:
            groups.setdefault(layer.part, []).append(layer)
        others = sorted(groups.pop("", []), key=lambda layer: -layer.bytes)
        large = [layer for layer in others[:most] if layer.share >= LEAST]
        rows = [_together(part, groups[part]) for part in sorted(groups, key=_order)] + large
        rest = others[len(large) :]
        return (*rows, *([_together(f"{len(rest)} smaller", rest)] if rest else []))


def _together(name: str, layers: list[Layer]) -> Layer:
    """Several layers as one; its type is that of most bytes, with all others behind it."""
    dtypes: dict[str, int] = {}
    for layer in layers:
        dtypes[layer.dtype] = dtypes.get(layer.dtype, 0) + layer.bytes
    words = ", ".join(sorted(dtypes, key=lambda dtype: -dtypes[dtype]))
    return Layer(name, name, words, sum(layer.bytes for layer in layers), sum(layer.share for layer in layers))


def _order(part: str) -> tuple[int, int, str]:
    words = part.split()
    place = {"embedding": 0, "block": 1, "head": 2}.get(words[0], 3)
    return place, int(words[1]) if place == 1 else 0, part.lower()


@dataclass(frozen=True)
class Taken:
    """What a delegate takes of a file on this machine: subgraphs and nodes, and the count of each operator that is left."""

    by: str
    subgraphs: int
    nodes: int
    left: tuple[tuple[str, int], ...]
