"""What a weight file shows of itself: by its tensors (`Seen`), and by the config beside them (`Said`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.errors import DamagedFile
from edgevit.types import ResNetStem, Size
from edgevit.vit.foreign.asked import SIDES, Channels, Resize

MOST = 1024
"""Blocks, or anything else that is counted by its names: ViTs have up to 56, and a model of a million takes hours to make."""

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Given:
    """Weights as they were found: by their own names, in `file`, with the `folder` whose configs speak for them, if any."""

    tensors: Tensors
    file: Path
    folder: Path | None
    origin: str
    """What to call the source: a path, or a name on the Hub with its revision."""
    prefix: str = ""
    """What stands before every name in the file, and was taken off."""
    left_out: tuple[str, ...] = ()
    """Tensors that nothing reads which this model answers with."""
    beside: bool = False
    """Whether the user named the file alone, and the `folder` is where it lies."""
    heads_off: tuple[str, ...] = ()
    """Tensors of the heads, which the user wants left off."""


@dataclass(frozen=True)
class Seen:
    """The shape that the tensors have. `cell` is a patch's side, in pixels or in cells of the stem's feature map.

    `table` counts the rows of the position embeddings, None where there are none; `before` how many of them may stand before
    those of the patches. `heads` is None where no tensor shows them.
    """

    width: int
    depth: int
    mlp: int
    cell: int
    classes: int
    pool: str
    table: int | None
    before: tuple[int, ...]
    registers: int = 0
    representation: int = 0
    heads: int | None = None
    stem: ResNetStem | None = None

    @property
    def patch(self) -> int:
        return self.cell * (self.stem.stride if self.stem else 1)

    @property
    def class_tokens(self) -> int:
        return {"mean": 0, "cls": 1, "distilled": 2}[self.pool]

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of each stage of the stem."""
        return self.stem.layers if self.stem else ()


@dataclass(frozen=True)
class Fact:
    """That a config gives `value` to what `Seen` or the settled shape calls `name`, and in which words."""

    name: str
    value: object
    words: str


@dataclass(frozen=True)
class Said:
    """What a config adds to the tensors. `gelu` and `norm_eps` are the format's own where the config is silent."""

    gelu: str
    norm_eps: float
    facts: tuple[Fact, ...] = ()
    heads: int | None = None
    image_size: Size | None = None
    mean: Channels | None = None
    std: Channels | None = None
    resize: Resize | None = None
    crop: Size | None = None
    interpolation: str | None = None
    labels: tuple[str, ...] | None = None
    heads_by: str = ""
    """Who says the heads where the config itself does not."""


def dims(given: Given, name: str, count: int) -> tuple[int, ...]:
    """The shape of a tensor, of `count` positive sizes. Raises DamagedFile, which names it."""
    if name not in given.tensors:
        raise DamagedFile(f"{given.file}: missing tensor: {given.prefix}{name}", "the file is cut, or of another model")
    shape = tuple(given.tensors[name].shape)
    if len(shape) != count or 0 in shape:
        raise DamagedFile(f"{given.file}: {given.prefix}{name} has shape {shape}, expected {count} sizes")
    return shape


def pixels(size: int | Size | None, words: str) -> Size | None:
    """Height and width that a config gives in `words`. Raises DamagedFile for sides that no image has."""
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if not (0 < height <= SIDES and 0 < width <= SIDES):
        raise DamagedFile(f"{words} is no size of an image", f"the sides of an image are 1 to {SIDES} pixels")
    return height, width


def require_biases(given: Given, names: Sequence[str], told: bool | None, words: str) -> None:
    """Raise DamagedFile where a config says (`words`) whether queries, keys and values have biases, and the weights disagree."""
    there = [name for name in names if name in given.tensors]
    if told is False and there:
        raise DamagedFile(
            f"{given.origin}: {words} is false, but the weights have {given.prefix}{there[0]}",
            "config and weights are not of the same model",
        )
    if told and not there:
        raise DamagedFile(f"{given.file}: missing tensor: {listed(given, names)}", f"{words} is true, so that the model has them")


def listed(given: Given, names: Collection[str]) -> str:
    """The first five of `names`, as the file has them."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(given.prefix + name for name in sorted(names)[:5]) + more


def square(given: Given, name: str, sides: tuple[int, int]) -> int:
    """The side of a patch. Raises DamagedFile where it is not square."""
    if sides[0] != sides[1]:
        raise DamagedFile(f"{given.file}: {given.prefix}{name} has patches of {sides[0]}x{sides[1]}, and edgevit's are square")
    return sides[0]


def counted(given: Given, before: str, after: str = ".", first: int = 0) -> int:
    """How many numbers stand between `before` and `after` in the names. Raises DamagedFile for a gap and for more than `MOST`."""
    rest = (name.removeprefix(before).partition(after)[0] for name in given.tensors if name.startswith(before))
    found = {number for number in rest if number.isdigit()}
    if len(found) > MOST:
        raise DamagedFile(f"{given.file}: {len(found)} of {given.prefix}{before}, and no more than {MOST} are read")
    expected = [str(number) for number in range(first, first + len(found))]
    absent = next((number for number in expected if number not in found), None)
    if absent is not None:
        raise DamagedFile(f"{given.file}: missing tensor: all of {given.prefix}{before}{absent}", "the file is cut or altered")
    return len(found)
