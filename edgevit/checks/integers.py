"""Whether a saved file holds the very integers, scales and palettes that the recipe made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Form = Callable[[np.ndarray], bytes | None]
"""The bytes of an array in one way of storing it; None where it cannot be stored so."""
KINDS = ("integers8", "integers4", "scale", "places")

WIDTHS = (1, 2, 4, 6, 8)
"""Bits in which a place in a palette may be stored."""


def absent(file: Path, stored: Mapping[str, np.ndarray], factor: float) -> list[str]:
    """What of a recipe's `stored` tensors does not stand in the model file or folder, by the names of their Linears.

    Their keys are kind/NAME: `integers8`, `integers4` (out, in) with their `scale` (out, groups), or `places` (out, in) in
    `colours`. Every back end stores them in this order, at most cut into the q, k and v of one matrix, q's scales times `factor`;
    so the bytes can be looked for without a parser that could share a converter's mistake.
    """
    files = [file] if file.is_file() else [f for f in sorted(file.rglob("*")) if f.is_file()]
    content = b"\0".join(f.read_bytes() for f in files)
    found = []
    for key, tensor in stored.items():
        kind, _, name = key.partition("/")
        parts = 3 if name.endswith("qkv") else 1
        if kind.startswith("integers") and not _stands(tensor, parts, _integer_forms(tensor), content):
            found.append(name)
        elif kind == "scale" and not _scales_stand(tensor, parts, factor, content):
            found.append(f"the scales of {name}")
        elif kind == "places" and not _stands(stored[f"colours/{name}"][tensor], parts, PALETTE_FORMS, content):
            found.append(f"the palette of {name}")
    return found


def _stands(matrix: np.ndarray, parts: int, forms: list[Form], content: bytes) -> bool:
    """Whole, or each of the `parts` of its rows by itself, in one of the forms."""
    return any(_in(content, form, [matrix]) or _in(content, form, np.split(matrix, parts)) for form in forms)


def _in(content: bytes, form: Form, parts: list[np.ndarray]) -> bool:
    stored = [form(part) for part in parts]
    return all(part is not None and part in content for part in stored)


def _integer_forms(matrix: np.ndarray) -> list[Form]:
    """A byte each; where they are small enough two in one, as they are or, in XNNPACK's, 8 more."""
    if matrix.shape[1] % 2 or not -8 <= int(matrix.min()) <= int(matrix.max()) < 8:
        return [np.ndarray.tobytes]
    return [np.ndarray.tobytes, lambda rows: _packed(rows, 4), lambda rows: _packed(rows + 8, 4)]


def _packed(places: np.ndarray, bits: int) -> bytes:
    """Little end first, `bits` for each."""
    each = places.astype(np.uint8).reshape(-1, 1) >> np.arange(bits, dtype=np.uint8) & 1
    return np.packbits(each.reshape(-1), bitorder="little").tobytes()


def _palette_form(bits: int) -> Form:
    def form(values: np.ndarray) -> bytes | None:
        """Places in the ascending values that there are, if `bits` hold so many."""
        there, places = np.unique(values, return_inverse=True)
        return _packed(places, bits) if len(there) <= 2**bits else None

    return form


PALETTE_FORMS = [_palette_form(bits) for bits in WIDTHS]


def _scales_stand(scales: np.ndarray, parts: int, factor: float, content: bytes) -> bool:
    """As float32, float16 or bfloat16, whichever the back end stores."""
    q, *others = np.split(scales, parts)
    scaled = [q * np.float32(factor), *others] if others else [scales]
    forms: list[Form] = [np.ndarray.tobytes, _float16, _bfloat16]
    return any(_in(content, form, [scales]) or _in(content, form, scaled) for form in forms)


def _float16(x: np.ndarray) -> bytes | None:
    halves = x.astype(np.float16)
    return halves.tobytes() if halves.all() else None


def _bfloat16(x: np.ndarray) -> bytes:
    """To the nearest, of two the even one."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
