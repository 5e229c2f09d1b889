"""A TOML file of the user's, read strictly: an unknown key is named with the nearest, a wrong type with its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from edgevit.errors import BadInput, UnknownName


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and not math.isnan(value)  # type: ignore[arg-type]


KINDS: dict[str, Callable[[object], bool]] = {
    "a text": lambda value: type(value) is str,
    "a whole number": lambda value: type(value) is int,
    "a number": _is_number,
    "true or false": lambda value: type(value) is bool,
    "a list of texts": lambda value: type(value) is list and all(type(one) is str for one in value),
    "a list of numbers": lambda value: type(value) is list and all(map(_is_number, value)),
    "a list of whole numbers": lambda value: type(value) is list and all(type(one) is int for one in value),
    "a table": lambda value: type(value) is dict,
    "a list of tables": lambda value: type(value) is list and all(type(one) is dict for one in value),
    "a size in pixels, as 224 or '192x256'": lambda value: type(value) in (int, str),
}
"""What a value may be, in words, and whether it is. True is no number, and no text is a list of its letters."""

TEXT, WHOLE, NUMBER, FLAG, TEXTS, NUMBERS, WHOLES, TABLE, TABLES, PIXELS = KINDS


def require(place: str, said: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """Raise BadInput, which names place and key, unless every key is one of `kinds` and its value of that kind."""
    for key, value in said.items():
        if key not in kinds:
            unknown = UnknownName("key", key[:80], kinds)
            raise BadInput(f"{place}: {unknown.message}", unknown.hint)
        if not KINDS[kinds[key]](value):
            raise BadInput(f"{place}: {key} must be {kinds[key]}, not {value!r}"[:200])


def within(place: str, said: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]) -> None:
    """Raise BadInput where a number is not within its bounds, ends included."""
    for key, (low, high) in bounds.items():
        if key in said and not low <= said[key] <= high:
            end = "or more" if math.isinf(high) else f"to {high:g}"
            raise BadInput(f"{place}: {key} must be {low:g} {end}, not {said[key]!r}"[:200])
