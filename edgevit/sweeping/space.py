"""What may be searched: `lr=1e-4..1e-2`, `batch=32,64,128`, each held against the settings of a training before any is tried."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import typing
from collections.abc import Iterable, Mapping

from edgevit.errors import BadInput, UnknownName
from edgevit.types import Searched, TrainConfig, Value, in_words, option_name
from edgevit.vit.config import parts
from edgevit.vit.foreign import asked as sizes

NOT_SEARCHED = (
    "data", "start", "keep_head", "teacher", "quantize", "objective", "fraction", "dev", "tried", "seed", "held_out",
    "on_bad_image", "device",
)  # fmt: skip
"""Fields of a TrainConfig that say what is learned, from which images and where. With others, trials would not be comparable."""
SCALES = {"log": True, "linear": False}
WIDE = 10
"""How many times its low end the high end of a range is, from where on it is even in the logarithm."""
DIGITS = 4
"""To which a sampled number is rounded before it is used: enough for any setting, and short enough to be typed again."""


def kinds() -> dict[str, type]:
    """What may be searched, by name, and what each value is; a Size stands as `tuple`."""
    found = {}
    for name, hint in typing.get_type_hints(TrainConfig).items():
        if name not in NOT_SEARCHED:
            inner = [one for one in typing.get_args(hint) if one is not type(None)]
            kind = inner[0] if typing.get_origin(hint) is not tuple and inner else hint
            found[name] = tuple if typing.get_origin(kind) is tuple else kind
    return found


def read(texts: Iterable[str], train: TrainConfig) -> tuple[Searched, ...]:
    """The space that is said in `texts`, in that order. Raises BadInput, with the nearest names, for what cannot be.

    `train` are the settings that are not searched: each value alone has to go together with them.
    """
    found: dict[str, Searched] = {}
    for text in texts:
        name, equals, said = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not said.strip():
            raise BadInput(f"not a setting with values: {text[:80]}", "as lr=1e-4..1e-2, or batch=32,64,128")
        kind = _kind(name)
        if name in found:
            raise BadInput(f"{option_name(name)} is searched twice", "one --search for each setting")
        _require_open(name, train)
        found[name] = _range(name, kind, said) or _list(name, kind, said)
        _require_bounds(found[name], train)
    if not found:
        raise BadInput("nothing to search", "--search lr=1e-4..1e-2, for one")
    return tuple(found.values())


def _kind(name: str) -> type:
    known = kinds()
    if name in NOT_SEARCHED and name in TrainConfig.__dataclass_fields__:
        raise BadInput(f"{option_name(name)} is no setting to choose by results", f"known: {', '.join(map(option_name, known))}")
    if name not in known:
        raise UnknownName("setting", option_name(name)[:80], map(option_name, known))
    return known[name]


def _require_open(name: str, train: TrainConfig) -> None:
    default = TrainConfig.__dataclass_fields__[name].default
    if getattr(train, name) != default:
        raise BadInput(
            f"--{option_name(name)} is said and searched", f"leave out one of the two; it is {getattr(train, name)} now"
        )


def _range(name: str, kind: type, said: str) -> Searched | None:
    """`a..b`, with `:log` or `:linear` behind it."""
    ends, colon, scale = said.partition(":")
    low_text, dots, high_text = ends.partition("..")
    if not dots:
        return None
    if kind not in (int, float):
        raise BadInput(f"{option_name(name)} has no range: {said[:80]}", "name its values, with commas between")
    if colon and scale.strip() not in SCALES:
        raise BadInput(f"unknown scale of {option_name(name)}: {scale[:40]}", f"known: {', '.join(SCALES)}")
    low, high = (_number(name, kind, text) for text in (low_text, high_text))
    if not low < high:
        raise BadInput(
            f"the range of {option_name(name)} ends before it begins: {said[:80]}", "as lr=1e-4..1e-2, the lower end first"
        )
    log = SCALES[scale.strip()] if colon else low > 0 and high / low >= WIDE
    if log and low <= 0:
        raise BadInput(f"{option_name(name)} from {low:g} has no logarithm", "begin above 0, or say :linear")
    return Searched(name, low=low, high=high, log=log, whole=kind is int)


def _list(name: str, kind: type, said: str) -> Searched:
    texts = [text.strip() for text in said.split(",")]
    if not all(texts):
        raise BadInput(f"an empty value among those of {option_name(name)}: {said[:80]}", "with commas between: batch=32,64,128")
    return Searched(name, tuple(dict.fromkeys(_value(name, kind, text) for text in texts)))


def _value(name: str, kind: type, text: str) -> Value:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise BadInput(f"{option_name(name)} is true or false, not {text[:40]}")
        return text.lower() == "true"
    if kind in (int, float):
        return _number(name, kind, text)
    if name == "model":
        parts(text)  # raises UnknownName
    if kind is tuple:
        sizes.size(option_name(name), text)  # raises BadInput
    return text


def _number(name: str, kind: type, text: str) -> int | float:
    what = "a whole number" if kind is int else "a number"
    whole = re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip())
    try:
        value = int(text) if kind is int and whole else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (kind is int and not whole):
        raise BadInput(
            f"{option_name(name)} is {what}, not {text.strip()[:40] or 'nothing'}", "as lr=1e-4..1e-2, or batch=32,64,128"
        )
    return value


def _require_bounds(one: Searched, train: TrainConfig) -> None:
    """Raise BadInput where a value cannot be, whatever the other searched settings are."""
    ends: tuple[Value, ...] = (_typed(one, one.low), _typed(one, one.high)) if one.ranged else one.values
    for value in ends:
        settings(train, {one.name: value})


def _typed(one: Searched, value: float) -> Value:
    return round(value) if one.whole else value


def settings(train: TrainConfig, values: Mapping[str, Value]) -> TrainConfig:
    """`train` with such values. Raises BadInput where they do not go together."""
    found = {name: sizes.size(option_name(name), str(v)) if kinds()[name] is tuple else v for name, v in values.items()}
    try:
        return dataclasses.replace(train, **found)  # type: ignore[arg-type]
    except ValueError as error:
        raise BadInput(str(error), f"it was searched as {in_words(values)}") from error


def used(space: tuple[Searched, ...], drawn: Mapping[str, object]) -> dict[str, Value]:
    """What is used of the values that were `drawn`, in the order of the space: sampled numbers rounded, and within their range.

    What is drawn may come out of a file that anybody wrote. Raises BadInput for what the space does not hold.
    """
    if set(drawn) != {one.name for one in space}:
        raise BadInput("a trial has other settings than the space")
    return {one.name: _used(one, drawn[one.name]) for one in space}


def _used(one: Searched, value: object) -> Value:
    if not one.ranged:
        index = next((i for i, known in enumerate(one.values) if known == value and type(known) is type(value)), None)
        if index is None:
            raise BadInput(f"a trial has a value of {option_name(one.name)} that the space does not hold: {str(value)[:40]}")
        return one.values[index]
    if isinstance(value, bool) or not isinstance(value, int | float) or not one.low <= value <= one.high:
        raise BadInput(f"a trial has a value of {option_name(one.name)} that the space does not hold: {str(value)[:40]}")
    return round(value) if one.whole else min(max(float(f"{value:.{DIGITS}g}"), one.low), one.high)


def grid(space: tuple[Searched, ...]) -> tuple[dict[str, Value], ...]:
    """Every point of a space of lists, the last setting changing first. Raises BadInput for a range."""
    if ranged := [option_name(one.name) for one in space if one.ranged]:
        raise BadInput(
            f"a grid has no ranges: {', '.join(ranged)}", "name their values, with commas between, or leave out --grid"
        )
    names = [one.name for one in space]
    return tuple(dict(zip(names, point, strict=True)) for point in itertools.product(*(one.values for one in space)))


def points(space: tuple[Searched, ...]) -> int | None:
    """How many points a space has; None for one with a range, which has any number."""
    return None if any(one.ranged for one in space) else math.prod(len(one.values) for one in space)
