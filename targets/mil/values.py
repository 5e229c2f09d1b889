"""How the types of MIL are held in torch: in a type that computes fast on a CPU and can hold every value exactly."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

Value: TypeAlias = Tensor | str
"""What flows between operations; text only as a constant parameter, such as the mode of a GELU."""

HELD = {
    "fp16": (torch.float16, torch.float32),
    "fp32": (torch.float32, torch.float32),
    "bool": (torch.bool, torch.bool),
    "int8": (torch.int8, torch.int8),
    "int16": (torch.int16, torch.int16),
    "int32": (torch.int32, torch.int32),
    "int64": (torch.int64, torch.int64),
    "uint8": (torch.uint8, torch.uint8),
    "uint16": (torch.uint16, torch.int32),
    "uint32": (torch.uint32, torch.int64),
    "int4": (torch.int8, torch.int8),
    **{f"uint{bits}": (torch.uint8, torch.uint8) for bits in (1, 2, 3, 4, 6)},
}
"""MIL type: the type that rounds to what it can store, and the type that holds it here."""


def stored(value: Tensor, kind: str) -> Tensor:
    """`value` rounded to MIL type `kind`, as Core ML would store it."""
    rounded, held = HELD[kind]
    return value.to(rounded).to(held)


def constant(value: object, kind: str) -> Value:
    """A constant of a program, as coremltools read it from the file."""
    return value if isinstance(value, str) else stored(torch.tensor(np.asarray(value)), kind)
