"""What quantizing a model made: each Linear's places on a grid, kept in a file, and put into a model by torchao's tensors."""

from __future__ import annotations

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
from quantize.grid import Integers, Palette

INTEGERS = {"integers8": 127, "integers4": 7}
"""The kinds of integers, and the largest of each."""
PLACES, SCALE, COLOURS, CHANGED = "places", "scale", "colours", "changed"


@dataclass(frozen=True)
class Matrix:
    """The weights of one Linear: `places` (out, in) on the `grid`; int8 integers, or uint8 places in a palette."""

    places: Tensor
    grid: Integers | Palette

    def values(self) -> Tensor:
        return self.grid.values(self.places, torch.arange(self.places.shape[1]))


@dataclass(frozen=True)
class Quantized:
    """Every quantized matrix by its Linear's name, and every other parameter that quantizing changed, by its own."""

    matrices: dict[str, Matrix] = field(default_factory=dict)
    changed: dict[str, Tensor] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        tensors = {f"{CHANGED}/{name}": value for name, value in self.changed.items()}
        for name, matrix in self.matrices.items():
            if isinstance(matrix.grid, Integers):
                kind = next(kind for kind, largest in INTEGERS.items() if largest == matrix.grid.largest)
                tensors |= {f"{kind}/{name}": matrix.places, f"{SCALE}/{name}": matrix.grid.scale}
            else:
                tensors |= {f"{PLACES}/{name}": matrix.places, f"{COLOURS}/{name}": matrix.grid.colours}
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)

    @torch.no_grad()
    def put(self, model: nn.Module, dynamic: bool) -> None:
        """Into `model`, in place: integers as torchao's tensors, palettes as floats. `dynamic`: int8 activations per token."""
        for name, value in self.changed.items():
            model.get_parameter(name).data = value.clone()
        for name, matrix in self.matrices.items():
            linear = model.get_submodule(name)
            linear.weight = nn.Parameter(_tensor(matrix, dynamic), requires_grad=False)


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
        elif kind not in (SCALE, COLOURS):
            raise DamagedFile(f"{file}: {key} is of another model")
    return found


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
