"""A run and a difference of two as tables of 80 columns and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgevit import held, record
from edgevit.cli import figures, latencies
from edgevit.types import Change, Diff, Held, RunRecord, Verdict

Table = tuple[str, Sequence[str], list[list[str]]]


def run_record(found: RunRecord) -> dict[str, Any]:
    """The record, where it lies, and what came of it."""
    return {**record.builtins(found), "passed": found.passed, "broken": wrong(found)}


def wrong(found: RunRecord) -> list[str]:
    """Each artifact that failed and each limit that is broken, one a line."""
    failed = [f"{one.name}: {one.outcome.value}: {one.reason}" for one in found.failed]
    return failed + [held.words(one) for one in found.broken]


def run_tables(found: RunRecord) -> list[Table]:
    when = {one.what: one.made for one in found.reused}
    tables: list[Table] = [("Artifacts", figures.ARTIFACT_COLUMNS, [figures.artifact_row(a) for a in found.artifacts])]
    for bench in found.benches:
        spec = bench.device.spec
        rows = [[*latencies.latency_row(x), when.get(f"{Path(x.artifact).name} on {spec}", "now")[:16]] for x in bench.latencies]
        tables.append((f"Latency of one image on {spec}", (*latencies.LATENCY_COLUMNS, "measured"), rows))
    return [*tables, ("Limits", *_limits(found.held))]


def _limits(found: Sequence[Held]) -> tuple[Sequence[str], list[list[str]]]:
    """A row for each artifact on each device, a column for each figure: "31.2 of 30", with an exclamation mark where broken."""
    columns, rows = held.table(found)
    return ("artifact", "on", *columns), [[artifact, at, *map(_cell, cells)] for artifact, at, cells in rows]


def _cell(one: Held | None) -> str:
    return held.cell(one) + ("!" if one.holds is False else "") if one else ""


def run_notes(found: RunRecord) -> list[str]:
    """What the tables have no room for: what was not done again, why a device was not measured, how long it took."""
    notes = figures.artifact_notes(found.artifacts)
    notes += [f"{bench.device.spec}: {bench.device.reason}" for bench in found.benches if bench.device.reason]
    notes += [note for bench in found.benches for note in latencies.latency_notes(bench)]
    if found.reused:
        days = Counter(one.made[:10] for one in found.reused)
        of = ", ".join(f"{count} of {day}" for day, count in sorted(days.items()))
        named = ", ".join(one.what for one in found.reused[:FEW]) + (", ..." if len(found.reused) > FEW else "")
        notes.append(f"unchanged, and not done again ({of}): {named}")
    return [*notes, f"{found.seconds:.1f} s, limits held: {sum(bool(one.holds) for one in found.held)} of {len(found.held)}"]


FEW = 8
"""Names of what was reused; run.json has all of them."""
DIFF_COLUMNS = ("artifact", "on", "figure", "before", "after", "change", "verdict", "how")
QUIET = (Verdict.SAME, Verdict.NOISE)


def diff_record(found: Diff) -> dict[str, Any]:
    return {**record.builtins(found), "worse": found.worse}


def diff_rows(found: Diff, everything: bool) -> list[list[str]]:
    """The worst first, as they are judged."""
    order = list(Verdict)
    shown = [one for one in found.changes if everything or one.verdict not in QUIET]
    return [
        [one.artifact, held.place(one.device, one.unit) or "file", *_figures(one, held.SHOWN), one.verdict.value, one.how]
        for one in sorted(shown, key=lambda one: (not one.worse, order.index(one.verdict)))
    ]


def _figures(one: Change, shown: dict[str, tuple[str, str]]) -> list[str]:
    name, unit = shown.get(one.figure, (one.figure, ""))
    factor = 100 if one.figure in ("top1", "agreement") else 1
    unit = " points" if factor == 100 else unit
    before, after = (None if x is None else factor * x for x in (one.before, one.after))
    change = "" if before is None or after is None else f"{after - before:+.3g}{unit}"
    if before and after is not None and unit in (" ms", " MB", " mJ"):
        change += f" ({100 * (after / before - 1):+.1f} %)"
    return [name, *("none" if x is None else f"{x:.4g}" for x in (before, after)), change]


def diff_notes(found: Diff) -> list[str]:
    counts = Counter(one.verdict for one in found.changes)
    notes = [f"new: {name}" for name in found.added] + [f"gone: {name}" for name in found.removed]
    notes += [f"another {one.what}: {one.before}, then {one.after}" for one in found.replaced]
    told = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    return [*notes, f"{len(found.changes)} figures: {told or 'none in common'}"]
