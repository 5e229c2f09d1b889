"""Which part of a Vision Transformer a layer is, as far as its name tells, and the layers of a file in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgevit.errors import DamagedFile
from edgevit.types import Layer

BLOCK = re.compile(r"(?:^|_)(?:blocks?|layers?|encoder|encoderblock|resblocks|h)_([0-9]{1,3})(?=_|$)")
ATTENTION = {"attn", "attention", "qkv", "q", "k", "v", "query", "key", "value", "norm1", "before"}
MLP = {"mlp", "fc1", "fc2", "intermediate", "output", "dense", "norm2", "after", "ffn", "linear1", "linear2"}
EMBEDDING = {
    "patch",
    "patches",
    "embed",
    "embedding",
    "embeddings",
    "position",
    "positions",
    "pos",
    "prefix",
    "tokens",
    "cls",
    "stem",
}
HEAD = {"head", "heads", "classifier", "answers", "logits"}
ENDINGS = re.compile(
    r"_(to_fp16|cast_fp16|fp16|quantized|palettized|dequantized|weight|bias|kernel|sparsified|(?:[0-9]+(?=$)))$", re.IGNORECASE
)
"""What converters put behind the name of a layer."""


@dataclass(frozen=True)
class Constant:
    """Some bytes of a file that hold numbers: the name that they have there, and their type."""

    name: str
    dtype: str
    bytes: int


def layers(constants: Iterable[Constant], whole: int, file: str) -> tuple[Layer, ...]:
    """Constants of a file of `whole` bytes, those of a layer together. Raises DamagedFile where they are more than the file."""
    found: dict[str, list[Constant]] = {}
    for constant in constants:
        found.setdefault(plain(constant.name), []).append(constant)
    total = sum(constant.bytes for each in found.values() for constant in each)
    if total > whole:
        raise DamagedFile(f"damaged: {file}: {total} bytes of constants in a file of {whole}")
    return tuple(_layer(name, each, whole) for name, each in found.items() if any(constant.bytes for constant in each))


def _layer(name: str, constants: list[Constant], whole: int) -> Layer:
    size, largest = sum(constant.bytes for constant in constants), max(constants, key=lambda constant: constant.bytes)
    return Layer(name, part(name), largest.dtype, size, size / whole)


def plain(name: str) -> str:
    """The name of a layer without what converters put around it.

    litert-torch writes "module.path.Encoder_3/module.path.Mlp_mlp/module.path.Linear_fc1;1", coremltools
    "p_blocks_3_mlp_fc1_weight_to_fp16".
    """
    name = name.strip(";").partition(";")[0]
    if "/" in name and "." in name.partition("/")[0]:
        return ".".join(filter(None, map(_attribute, name.split("/")))) or name
    short = name.removeprefix("p_")
    while (cut := ENDINGS.sub("", short)) != short and ((cut and not cut[-1].isdigit()) or not short[-1].isdigit()) and cut:
        short = cut
    return short


def _attribute(element: str) -> str:
    """How a module calls its part: "mlp" of "module.path.Mlp_mlp", "Encoder_3" where that is a number; nothing for the root."""
    kind, _, name = element.rpartition(".")[2].partition("_")
    return f"{kind}_{name}" if name.isdigit() else name


def part(name: str) -> str:
    """ "block 3 MLP", "embedding", "head", or nothing."""
    flat = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    block = BLOCK.search(flat)
    if block:
        words = set(flat[block.end() :].split("_"))
        kind = " attention" if words & ATTENTION else " MLP" if words & MLP else ""
        return f"block {int(block[1])}{kind}"
    words = set(flat.split("_"))
    return "embedding" if words & EMBEDDING else "head" if words & HEAD else ""
