"""Which of their tensors make which of ours, as a table; and the one place where tensors are checked and carried over.

A table is made for a settled config, so that it names everything that has to be there. What is missing, left over, of another
shape or type, or not finite, is an error by the name that the file has for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgevit.errors import DamagedFile
from edgevit.types import ViTConfig
from edgevit.vit.foreign.said import Given, listed

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """How tensors of theirs make one of ours: the `shapes` they must have for a shape of ours, and what is done with them."""

    shapes: Callable[[Shape], tuple[Shape, ...]]
    read: Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Entry:
    """A tensor of `ours`, and the names of `theirs` that it is made of, in the order that its form takes them."""

    ours: str
    theirs: tuple[str, ...]
    form: Form


SAME = Form(lambda shape: (shape,), lambda parts: parts[0])
THIRDS = Form(lambda shape: ((shape[0] // 3, *shape[1:]),) * 3, lambda parts: torch.cat(list(parts)))
"""Query, key and value, which are one map of ours."""
SCALED = Form(lambda shape: (shape, shape[:1]), lambda parts: parts[0] * parts[1].reshape(-1, *[1] * (parts[0].dim() - 1)))
"""What LayerScale multiplies, and its factors (arXiv 2103.17239): the map that comes before can hold them."""


def without_rows(first: int, count: int) -> Form:
    """A table of positions from which `count` rows after the `first` are left out: they are folded into their tokens."""
    return Form(
        lambda shape: ((1, shape[1] + count, shape[2]),),
        lambda parts: torch.cat([parts[0][:, :first], parts[0][:, first + count :]], 1),
    )


def with_zeros(rows: int) -> Form:
    """A table of positions of the patches alone; the `rows` of the tokens before them are zeros."""
    return Form(
        lambda shape: ((1, shape[1] - rows, shape[2]),),
        lambda parts: torch.cat([parts[0].new_zeros(1, rows, parts[0].shape[2]), parts[0]], 1),
    )


def with_their_rows(first: int, table_rows: int) -> Form:
    """Tokens, to which the rows of the table of positions after the `first` are added."""
    return Form(
        lambda shape: (shape, (1, table_rows, shape[2])),
        lambda parts: parts[0] + parts[1][:, first : first + parts[0].shape[1]],
    )


def constant(make: Callable[[], Tensor]) -> Form:
    """A tensor that they do not have, since it follows from the config."""
    return Form(lambda shape: (), lambda parts: make())


def shapes(config: ViTConfig) -> dict[str, Shape]:
    """Of all tensors of the model, by our names."""
    from edgevit.vit.model import ViT

    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in ViT(config).state_dict().items()}


def carried(given: Given, entries: Sequence[Entry], config: ViTConfig, why: Mapping[str, str]) -> dict[str, Tensor]:
    """Our tensors (float32) from theirs. `why` says, by a part of a name, what a tensor that is left over would do.

    Raises DamagedFile.
    """
    _require_names(given, {name for entry in entries for name in entry.theirs}, why)
    expected = shapes(config)
    found = {}
    for entry in entries:
        wanted = entry.form.shapes(expected[entry.ours])
        parts = [_whole(given, name, shape) for name, shape in zip(entry.theirs, wanted, strict=True)]
        found[entry.ours] = entry.form.read(parts).contiguous()
    missing = expected.keys() - found.keys()
    assert not missing, f"no entry makes {sorted(missing)}"
    return found


def _require_names(given: Given, names: set[str], why: Mapping[str, str]) -> None:
    for name in sorted(given.tensors.keys() - names):
        reason = next((words for part, words in why.items() if part in name), "")
        if reason:
            raise DamagedFile(
                f"{given.file}: unexpected tensor: {given.prefix}{name}", f"{reason}, which edgevit's model does not have"
            )
    for kind, wrong in (("missing", names - given.tensors.keys()), ("unexpected", given.tensors.keys() - names)):
        if wrong:
            raise DamagedFile(
                f"{given.file}: {kind} tensor: {listed(given, wrong)}",
                "the file is cut, altered, or of a model that is no plain ViT",
            )


def _whole(given: Given, name: str, shape: Shape) -> Tensor:
    tensor, where = given.tensors[name], f"{given.file}: {given.prefix}{name}"
    if tuple(tensor.shape) != shape:
        raise DamagedFile(f"{where} has shape {tuple(tensor.shape)}, expected {shape}")
    if not tensor.is_floating_point():
        raise DamagedFile(f"{where} has type {tensor.dtype}, expected a float type")
    exact = tensor.float()
    if not exact.isfinite().all():
        raise DamagedFile(f"{where} holds NaN or infinity")
    return exact
