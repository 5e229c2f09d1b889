"""The devices of a road and the limits on them, as `edgevit.toml` says them."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from edgevit.errors import BadInput, UnknownName
from edgevit.pipeline import table
from edgevit.pipeline.table import FLAG, NUMBER, TABLE, TEXT, TEXTS, WHOLE, WHOLES
from edgevit.types import BenchRules, Budgets, Limits, RoadDevice, Unit
from targets import devices as devices_of

RULES = {
    "runs": WHOLE, "warmup": WHOLE, "launches": WHOLE, "most_launches": WHOLE, "narrow": NUMBER, "seconds": NUMBER,
    "threads": WHOLE, "affinity": WHOLES, "images": WHOLE, "sustained": NUMBER, "seed": WHOLE, "units": TEXTS,
}  # fmt: skip
BOUNDS = {
    "runs": (1, 1e6), "warmup": (0, 1e6), "launches": (1, 1000), "most_launches": (1, 1000), "narrow": (1e-6, 1),
    "seconds": (1, 1e6), "threads": (1, 1024), "images": (0, 1e6), "sustained": (0, 1e6), "seed": (0, 1 << 31),
}  # fmt: skip
OF_DEVICE = {"name": TEXT, "limits": TABLE, "allow_unmeasured": FLAG}
LIMITS = {field.name: WHOLE if field.name == "outside" else NUMBER for field in dataclasses.fields(Limits)}
MEASURED = ("p50_ms", "p90_ms", "peak_mb", "energy_mj")
"""Figures that only a device gives."""


def budgets(place: str, said: Mapping[str, Any]) -> Budgets:
    """Limits, and tables of them by the names of artifacts. Raises BadInput."""
    single = {key: value for key, value in said.items() if type(value) is dict and key not in LIMITS}
    common = _limits(place, {key: value for key, value in said.items() if key not in single})
    return Budgets(common, {name: _limits(f"{place} {name}", one) for name, one in single.items()})


def _limits(place: str, said: Mapping[str, Any]) -> Limits:
    table.require(place, said, LIMITS)
    table.within(place, said, {name: (-100 if name == "drop" else 0, math.inf) for name in LIMITS})
    if said.get("agreement", 0) > 1:
        raise BadInput(f"{place}: agreement is a share of 1, not {said['agreement']:g}", "0.99 is 99 of 100 images")
    typed: dict[str, Any] = {key: value if key == "outside" else float(value) for key, value in said.items()}
    return Limits(**typed)


def devices(path: str, said: list[dict[str, Any]], limits: Budgets) -> tuple[RoadDevice, ...]:
    """Each device with its rules. Raises BadInput, also where `limits` ask for a figure that no device is there to give."""
    found = tuple(_device(f"{path}: [[device]] {number}", one) for number, one in enumerate(said, 1))
    if twice := [name for name, count in Counter(device.name for device in found).items() if count > 1]:
        raise BadInput(f"{path}: [[device]]: twice the same: {', '.join(twice)}")
    asked = [name for one in (limits.common, *limits.artifacts.values()) for name in MEASURED if getattr(one, name) is not None]
    if asked and not found:
        raise BadInput(
            f"{path}: [limits]: {asked[0]} is measured on a device, and there is none", 'add [[device]] name = "local"'
        )
    return found


def _device(place: str, said: Mapping[str, Any]) -> RoadDevice:
    table.require(place, said, {**RULES, **OF_DEVICE})
    table.within(place, said, BOUNDS)
    name = said.get("name", "")
    if not name:
        raise BadInput(f"{place}: name is missing", f"known: {', '.join(devices_of.KNOWN)}")
    try:
        devices_of.kind(name)
    except BadInput as error:
        raise BadInput(f"{place}: {error.message}"[:300], error.hint) from error
    rules = {key: value for key, value in said.items() if key in RULES}
    for unit in rules.get("units", []):
        if unit not in list(Unit):
            unknown = UnknownName("unit", unit[:40], Unit)
            raise BadInput(f"{place}: {unknown.message}", unknown.hint)
    if any(core < 0 for core in rules.get("affinity", [])):
        raise BadInput(f"{place}: affinity lists cores, which count from 0")
    typed = {key: _typed(key, value) for key, value in rules.items()}
    made = BenchRules(**typed)
    if made.most_launches < made.launches:
        if "most_launches" in rules:
            raise BadInput(f"{place}: most_launches is below launches: {made.most_launches}, {made.launches}")
        made = dataclasses.replace(made, most_launches=made.launches)
    return RoadDevice(name, made, budgets(f"{place}: limits", said.get("limits", {})), said.get("allow_unmeasured", False))


def _typed(key: str, value: Any) -> Any:
    if key == "units":
        return tuple(Unit(unit) for unit in value)
    if key == "affinity":
        return tuple(value)
    return float(value) if RULES[key] == NUMBER else value
