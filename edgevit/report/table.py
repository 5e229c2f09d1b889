"""The main table: one row for each artifact, every cell a figure and where it comes from, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgevit.interval import wilson
from edgevit.report import places, verdict, words
from edgevit.report.places import Place
from edgevit.types import Artifact, Latency, Report


@dataclass(frozen=True)
class Line:
    """One line of a cell. `kind` is `main`, `label` (where from), `figure`, `small`, `bad` or `missing`."""

    text: str
    kind: str = "main"


@dataclass(frozen=True)
class Cell:
    column: str
    lines: tuple[Line, ...]

    @property
    def missing(self) -> bool:
        return all(line.kind == "missing" for line in self.lines)


@dataclass(frozen=True)
class Row:
    """An artifact. `tone` is `good`, `bad` or `idle`; `reason` is what stopped it, or a remark."""

    name: str
    target: str
    recipe: str
    outcome: str
    tone: str
    reason: str
    cells: tuple[Cell, ...]

    @property
    def blank(self) -> str:
        """Why there is no figure at all, where that is one and the same for every cell; else empty."""
        texts = {line.text for cell in self.cells for line in cell.lines}
        return texts.pop() if len(texts) == 1 and all(cell.missing for cell in self.cells) else ""


def rows(report: Report) -> tuple[Row, ...]:
    """`Cell`s of latency hold one for each host, device and unit."""
    there = places.places(report)
    return tuple(_row(artifact, there, report.machine) for artifact in report.artifacts)


def why_missing(artifact: Artifact) -> str:
    """Why a figure of `artifact` is absent: the stage that stopped, or what the record says."""
    stage = verdict.STOPPED_AT.get(artifact.outcome)
    if stage:
        return words.missing(stage)
    return words.missing(artifact.reason or ("nothing on this machine runs it" if artifact.where == "none" else ""))


def place(where: str) -> str:
    """Who computed a figure, so that the host, an evaluator and a device are never taken for one another."""
    known = {"host": "this machine (host)", "reference": "reference evaluator", "device": "device"}
    return known.get(where, words.plain(where))


def _named_host(artifact: Artifact, machine: str) -> Artifact:
    """The artifact; a host that is not the report's own `machine`, which is what a reader takes it for, is named."""
    elsewhere = artifact.where == "host" and artifact.machine not in ("", machine)
    return replace(artifact, where=f"host: {artifact.machine}") if elsewhere else artifact


def _row(artifact: Artifact, there: tuple[Place, ...], machine: str) -> Row:
    artifact = _named_host(artifact, machine)
    cells = [Cell(column, fill(artifact)) for column, fill in COLUMNS.items()]
    cells.append(Cell(LATENCY, _latency(artifact, there)))
    return Row(
        name=words.plain(artifact.name),
        target=words.plain(artifact.target),
        recipe=words.plain(words.recipe(artifact)),
        outcome=artifact.outcome.value,
        tone=verdict.tone(artifact),
        reason=words.plain(artifact.reason),
        cells=tuple(cells),
    )


def _none(artifact: Artifact) -> tuple[Line, ...]:
    return (Line(why_missing(artifact), "missing"),)


def _size(artifact: Artifact) -> tuple[Line, ...]:
    return _none(artifact) if artifact.bytes is None else (Line(words.size(artifact.bytes)),)


def _top1(artifact: Artifact) -> tuple[Line, ...]:
    if artifact.top1 is None:
        return _none(artifact)
    low, high = wilson(artifact.top1, artifact.images)
    return (
        Line(words.percent(artifact.top1)),
        _change(artifact.top1, artifact.reference_top1),
        Line(f"{words.percent(low)} to {words.percent(high)}", "figure"),
    )


def _change(top1: float, reference: float | None) -> Line:
    if reference is None:
        return Line("change " + words.missing("the checkpoint was not run on these images"), "missing")
    return Line(words.points(top1 - reference), "figure")


def _agreement(artifact: Artifact) -> tuple[Line, ...]:
    if artifact.agreement is None:
        return _none(artifact)
    lines = [Line(words.percent(artifact.agreement)), Line(f"of {words.counted(artifact.images, 'image')}", "figure")]
    if paired := artifact.paired:
        lines.append(Line(f"{paired.lost:,} lost, {paired.won:,} won, p {paired.p:.2g}", "figure"))
        lines.append(Line(f"shows >= {100 * paired.visible:.2g} points", "figure"))
    return tuple(lines)


def _relative_error(artifact: Artifact) -> tuple[Line, ...]:
    if artifact.relative_error is None:
        return _none(artifact)
    parts = [
        word for word, holds in (("merged", artifact.merges), ("quantized", artifact.quantization_error is not None)) if holds
    ]
    beside = [Line(f"as {' and '.join(parts)}", "figure")] if parts else []
    if artifact.quantization_error is not None:
        beside.append(Line(f"float: {words.relative(artifact.quantization_error)}", "figure"))
    return (Line(words.relative(artifact.relative_error)), *beside)


def _computed(artifact: Artifact) -> tuple[Line, ...]:
    """Who gave the answers that top-1, agreement and relative error are about."""
    if artifact.top1 is None:
        return _none(artifact)
    runtime = words.plain(artifact.runtime)
    return (Line(place(artifact.where), "label"), *((Line(runtime, "small"),) if runtime else ()))


def delegation(artifact: Artifact) -> tuple[Line, ...]:
    found = artifact.delegation
    if found.inside is None or found.outside is None:
        stopped = artifact.outcome in verdict.NOTHING_MADE and not found.reason
        return _none(artifact) if stopped else (Line(f"not counted: {_why(found.reason)}", "missing"),)
    subgraphs = found.reason if found.subgraphs is None else words.counted(found.subgraphs, "subgraph")
    return (
        Line(subgraphs),
        Line(f"{words.counted(found.inside, 'node')} inside", "figure"),
        Line(f"{found.outside:,} outside", "figure"),
    )


def _integers(artifact: Artifact) -> tuple[Line, ...]:
    if artifact.same_integers is not None:
        return (Line("yes"),) if artifact.same_integers else (Line("no", "bad"),)
    if artifact.outcome in verdict.NOTHING_MADE:
        return _none(artifact)
    why = "float weights" if artifact.recipe.startswith(("fp", "bf", "float")) else _why("")
    return (Line(f"not compared: {why}", "missing"),)


def _why(reason: str) -> str:
    return words.plain(reason) or "no reason was recorded"


def _latency(artifact: Artifact, there: tuple[Place, ...]) -> tuple[Line, ...]:
    lines = [line for place in there for latency in places.of(place, artifact) for line in _one_latency(latency, place)]
    if lines:
        return tuple(lines)
    stopped = artifact.outcome in verdict.STOPPED_AT
    return _none(artifact) if stopped else (Line(words.missing(NO_LATENCY), "missing"),)


def _one_latency(latency: Latency, place: Place) -> tuple[Line, ...]:
    if latency.p50_ms is None:
        asked = () if place.kind == "host" else (Line(f"{place.name}, {places.UNITS[latency.unit]}", "label"),)
        return (Line(words.missing(latency.reason), "missing"), *asked)
    return (
        Line(words.milliseconds((latency.p50_ms, latency.p90_ms, latency.p99_ms))),
        Line(f"{place.name}, {places.UNITS[latency.unit]}", "label"),
        Line(f"{places.counted_threads(latency.threads)}, {words.counted(latency.runs, 'run')}", "figure"),
    )


TOP1 = "Top-1, change, 95 % interval"
NO_LATENCY = "the report holds no latency of it"
LATENCY = "Latency p50 / p90 / p99"
COLUMNS: dict[str, Callable[[Artifact], tuple[Line, ...]]] = {
    "Size": _size,
    TOP1: _top1,
    "Agreement": _agreement,
    "Relative error": _relative_error,
    "Accuracy computed by": _computed,
    "Delegation": delegation,
    "Same integers": _integers,
}
"""Each column but the last, and the function that fills it."""
