"""A limit beside its figure, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from edgevit.types import Held

SHOWN = {
    "p50_ms": ("p50", " ms"), "p90_ms": ("p90", " ms"), "size_mb": ("size", " MB"), "drop": ("drop", " points"),
    "agreement": ("agreement", ""), "peak_mb": ("peak memory", " MB"), "outside": ("outside", " nodes"),
    "energy_mj": ("energy", " mJ"),
}  # fmt: skip
"""Every figure that may have a limit in words, and its unit."""


def words(one: Held) -> str:
    """ "executorch-int8 on ssh://pi: p90 31.2 ms, limit 30"."""
    return f"{one.artifact}{' ' if one.device else ': '}{said(one)}"


def said(one: Held) -> str:
    """The same of an artifact that is named already."""
    name, unit = SHOWN[one.figure]
    where = f"on {place(one.device, one.unit)}: " if one.device else ""
    if one.value is None:
        return f"{where}{name} not measured: {one.reason or 'nobody says why'}, limit {one.limit:g}"
    return f"{where}{name} {shown(one)}{unit}, limit {one.limit:g}"


def shown(one: Held) -> str:
    """As few decimals as tell the figure to half a per cent, and from its limit."""
    assert one.value is not None
    for decimals in (1, 2, 3, 4, 6):
        rounded = round(one.value, decimals)
        if abs(rounded - one.value) <= abs(one.value) / 200 and rounded != one.limit:
            break
    return f"{rounded:.10g}"


def place(device: str, unit: str) -> str:
    """A device, with its unit where that is not the CPU."""
    return f"{device} ({unit})" if unit not in ("", "cpu") else device


def table(found: Sequence[Held]) -> tuple[tuple[str, ...], list[tuple[str, str, list[Held | None]]]]:
    """The columns, and a row for each artifact on each place: both names, and its limits, None for what has none there."""
    named = [name for name in SHOWN if any(one.figure == name for one in found)]
    places = dict.fromkeys((one.artifact, place(one.device, one.unit)) for one in found)
    cells = {(one.artifact, place(one.device, one.unit), one.figure): one for one in found}
    columns = tuple(SHOWN[name][0] + (f" {unit}" if (unit := SHOWN[name][1].strip()) else "") for name in named)
    return columns, [(artifact, at or "file", [cells.get((artifact, at, name)) for name in named]) for artifact, at in places]


def cell(one: Held) -> str:
    """ "31.2 of 30", with "none" for what was not measured."""
    return f"{'none' if one.value is None else shown(one)} of {one.limit:g}"
