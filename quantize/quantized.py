"""What quantizing a model made: each Linear's places on a grid, kept in a file, and put into a model by torchao's tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torchao.quantization import IntxUnpackedToInt8Tensor
from torchao.quantization.quantize_.workflows.intx.intx_unpacked_to_int8_tensor import (
    IntxUnpackedToInt8TensorActivationQuantization as Activations,
)

from edgevit.errors import DamagedFile
from edgevit.vit.model import ViT
from edgevit.vit.static import LEAST, MOST, Rounding, StaticLinear
from quantize.grid import Integers, Palette

INTEGERS = {"integers8": 127, "integers4": 7}
"""The kinds of integers, and the largest of each."""
PLACES, SCALE, COLOURS, CHANGED = "places", "scale", "colours", "changed"
ENTERING, LEAVING = "entering", "leaving"
IMAGES = "images"
"""In place of a Linear's name: what enters the model."""


@dataclass(frozen=True)
class Matrix:
    """The weights of one Linear: `places` (out, in) on the `grid`; int8 integers, or uint8 places in a palette."""

    places: Tensor
    grid: Integers | Palette

    def values(self) -> Tensor:
        return self.grid.values(self.places, torch.arange(self.places.shape[1]))


@dataclass(frozen=True)
class Quantized:
    """Every quantized matrix by its Linear's name, and every other parameter that quantizing changed, by its own.

    Where activations are static, what enters and leaves each of these Linears, and how images enter the model.
    """

    matrices: dict[str, Matrix] = field(default_factory=dict)
    changed: dict[str, Tensor] = field(default_factory=dict)
    roundings: dict[str, tuple[Rounding, Rounding]] = field(default_factory=dict)
    images: Rounding | None = None

    def save(self, file: Path) -> None:
        tensors = {f"{CHANGED}/{name}": value for name, value in self.changed.items()}
        for name, matrix in self.matrices.items():
            if isinstance(matrix.grid, Integers):
                kind = next(kind for kind, largest in INTEGERS.items() if largest == matrix.grid.largest)
                tensors |= {f"{kind}/{name}": matrix.places, f"{SCALE}/{name}": matrix.grid.scale}
            else:
                tensors |= {f"{PLACES}/{name}": matrix.places, f"{COLOURS}/{name}": matrix.grid.colours}
        for name, (entering, leaving) in self.roundings.items():
            tensors |= {f"{ENTERING}/{name}": _stacked(entering), f"{LEAVING}/{name}": _stacked(leaving)}
        if self.images:
            tensors[f"{ENTERING}/{IMAGES}"] = _stacked(self.images)
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)

    @torch.no_grad()
    def put(self, model: ViT, dynamic: bool) -> None:
        """Into `model`, in place: integers as torchao's tensors, palettes as floats. `dynamic`: int8 activations per token."""
        model.entering = self.images
        for name, value in self.changed.items():
            model.get_parameter(name).data = value.clone()
        for name, matrix in self.matrices.items():
            linear = model.get_submodule(name)
            linear.weight = nn.Parameter(_tensor(matrix, dynamic), requires_grad=False)
            if name in self.roundings:
                assert isinstance(linear, nn.Linear)
                model.set_submodule(name, StaticLinear.of(linear, *self.roundings[name]))


def _stacked(rounding: Rounding) -> Tensor:
    """(2, n) float32: scales, and zeros below."""
    return torch.stack([rounding.scale, rounding.zero.float()])


def read(file: Path, model: nn.Module) -> Quantized:
    """The file that `save` wrote for such a `model`. Raises DamagedFile where it is of another."""
    try:
        tensors = safetensors.torch.load_file(file)
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        raise DamagedFile(f"{file}: no whole safetensors file ({error})") from error
    found = Quantized()
    shapes = {name: m.weight.shape for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    others = {name: p.shape for name, p in model.named_parameters()}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == CHANGED and others.get(name) == tensor.shape:
            found.changed[name] = tensor
        elif kind in (*INTEGERS, PLACES) and shapes.get(name) == tensor.shape:
            found.matrices[name] = Matrix(tensor, _grid(kind, name, tensors, file))
        elif kind not in (SCALE, COLOURS, ENTERING, LEAVING):
            raise DamagedFile(f"{file}: {key} is of another model")
    roundings = {key: _rounding(key, tensor, file) for key, tensor in tensors.items() if key.startswith((ENTERING, LEAVING))}
    images = roundings.pop(f"{ENTERING}/{IMAGES}", None)
    for name, matrix in found.matrices.items() if roundings else ():
        entering, leaving = (roundings.pop(f"{kind}/{name}", None) for kind in (ENTERING, LEAVING))
        if not (entering and leaving and len(entering.scale) == 1 and len(leaving.scale) == len(matrix.places)):
            raise DamagedFile(f"{file}: {name} has no ranges for what enters and leaves it")
        found.roundings[name] = entering, leaving
    if roundings:
        raise DamagedFile(f"{file}: {next(iter(roundings))} is of another model")
    return dataclasses.replace(found, images=images)


def _rounding(key: str, stacked: Tensor, file: Path) -> Rounding:
    whole = stacked.dim() == 2 and stacked.shape[0] == 2 and stacked.isfinite().all()
    if not whole or (stacked[0] <= 0).any() or ((stacked[1] < LEAST) | (stacked[1] > MOST)).any():
        raise DamagedFile(f"{file}: {key} is no range")
    return Rounding(stacked[0].clone(), stacked[1].int())


def _grid(kind: str, name: str, tensors: dict[str, Tensor], file: Path) -> Integers | Palette:
    places, other = tensors[f"{kind}/{name}"], tensors.get(f"{SCALE if kind in INTEGERS else COLOURS}/{name}")
    if other is None or not other.isfinite().all():
        raise DamagedFile(f"{file}: {name} has no scale")
    if kind == PLACES:
        if int(places.max()) >= len(other):
            raise DamagedFile(f"{file}: {name} has places outside its palette")
        return Palette(other)
    rows, columns = places.shape
    if other.dim() != 2 or len(other) != rows or columns % other.shape[1]:
        raise DamagedFile(f"{file}: {name} has scales of another matrix")
    if int(places.abs().max()) > INTEGERS[kind]:
        raise DamagedFile(f"{file}: {name} has integers beyond its bits")
    return Integers(other, INTEGERS[kind], columns)


def _tensor(matrix: Matrix, dynamic: bool) -> Tensor:
    if not isinstance(matrix.grid, Integers):
        return matrix.values()
    scale, columns = matrix.grid.scale, matrix.places.shape[1]
    return IntxUnpackedToInt8Tensor(
        matrix.places,
        scale,
        torch.zeros_like(scale, dtype=torch.int8),
        torch.int4 if matrix.grid.largest < 8 else torch.int8,  # type: ignore[attr-defined]
        (1, columns // scale.shape[1]),
        torch.float32,
        Activations.INT8_ASYM_PER_TOKEN if dynamic else None,
    )


def linears(model: nn.Module) -> Iterable[tuple[str, nn.Linear]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear))
