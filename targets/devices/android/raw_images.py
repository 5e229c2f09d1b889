"""Pixels as the bytes that a model file takes, and the bytes that it gives as numbers, by what the file says of its ports."""

from __future__ import annotations

import numpy as np

from edgevit.data.preprocess import normalise
from edgevit.errors import DeviceFault
from edgevit.types import Port, Preprocess

KINDS = {"float32": np.float32, "int8": np.int8, "uint8": np.uint8}


def shape(port: Port, pixels: np.ndarray) -> tuple[int, ...]:
    """Of one image as the port takes it: (1, H, W, 3) or (1, 3, H, W). Raises DeviceFault for a port that takes another size."""
    high, wide = pixels.shape[1:3]
    for held in ((1, high, wide, 3), (1, 3, high, wide)):
        if len(port.shape) == 4 and all(said in (0, -1, size) for said, size in zip(port.shape, held, strict=True)):
            return held
    raise DeviceFault(f"the file takes {port.dtype} {port.shape}, and no images of {high} x {wide} pixels")


def entering(port: Port, pixels: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Pixels (N, H, W, 3) uint8 as the port takes them, in its type and layout; raises DeviceFault for a type that is not known.

    Floats are normalised; int8 are those floats by the port's scale, as `targets.litert` has them; uint8 goes in as it is.
    """
    held = shape(port, pixels)
    if port.dtype == "uint8":
        return np.ascontiguousarray(pixels if held[-1] == 3 else pixels.transpose(0, 3, 1, 2))
    if port.dtype not in KINDS:
        raise DeviceFault(f"images cannot be written as {port.dtype}, which the file takes")
    floats = normalise(pixels, preprocess)
    floats = np.ascontiguousarray(floats.transpose(0, 2, 3, 1)) if held[-1] == 3 else floats
    if port.dtype == "float32":
        return floats
    scale, zero = _grid(port)
    return (np.round(floats / np.float32(scale)) + zero).clip(-128, 127).astype(np.int8)


def leaving(port: Port, content: bytes, count: int) -> np.ndarray:
    """What the file gave for `count` images, one behind the other, as float32 (count, classes)."""
    if port.dtype not in KINDS:
        raise DeviceFault(f"answers of {port.dtype} cannot be read")
    values = np.frombuffer(content, KINDS[port.dtype]) if len(content) % np.dtype(KINDS[port.dtype]).itemsize == 0 else None
    if values is None or not values.size or values.size % count or values.size != count * _classes(port, values.size // count):
        raise DeviceFault(f"answers to {count} images have {len(content)} bytes, which are not {port.dtype} {port.shape} each")
    values = values.reshape(count, -1)
    if port.dtype == "float32":
        if not np.isfinite(values).all():
            raise DeviceFault("the device gave answers that are no numbers")
        return values.astype(np.float32)
    scale, zero = _grid(port)
    return ((values.astype(np.int32) - zero) * scale).astype(np.float32)


def _classes(port: Port, otherwise: int) -> int:
    return int(np.prod(port.shape)) if port.shape and 0 not in port.shape else otherwise


def _grid(port: Port) -> tuple[float, int]:
    if not port.scale or port.zero is None:
        raise DeviceFault(f"the file does not say what its {port.dtype} stand for: {port.name}")
    return port.scale, port.zero
