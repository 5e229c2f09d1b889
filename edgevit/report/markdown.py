"""The report as GitHub-flavoured Markdown: the same words as the page, without pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from edgevit.report import delegation, measured
from edgevit.report.absent import Absent
from edgevit.report.budgets import Budgets, Figure
from edgevit.report.delegation import Cost
from edgevit.report.evaluation import Evaluation, Fact, Ranking
from edgevit.report.measured import Measured
from edgevit.report.page import File, Page
from edgevit.report.runtimes import Line, Matrix
from edgevit.report.samples import Answer, Shown
from edgevit.report.table import Cell, Row
from edgevit.types import Gallery

SPECIAL = re.compile(r"([\\`*_\[\]<>|~&#$])")
MARKS = {"good": "✅", "bad": "❌", "idle": "⚠️"}


def render(page: Page) -> str:
    return "\n".join(_lines(page)).rstrip("\n") + "\n"


def escape(text: str) -> str:
    """Text from outside, on one line, so that none of it is markup, a cell border or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _lines(page: Page) -> Iterator[str]:
    yield from (f"# {escape(page.title)}", "", escape(page.made), "")
    yield from ("## Ship this, because", "", *_ship(page))
    yield from ("## Do they answer as the checkpoint does", "")
    yield from (f"{MARKS[page.verdict.tone]} **{escape(page.verdict.headline)}.**", "")
    yield from listed((*page.verdict.details, *page.notices))
    yield from ("## Artifacts", "", *_artifacts(page.rows))
    yield from ("## Measured, device by device", "", *_measured(page.measured))
    yield from _limits(page.limits)
    yield from ("## Delegation and its cost", "", *_delegation(page.delegation))
    yield from _runtimes(page.runtimes)
    yield from ("## Checkpoint", "", *facts(page.checkpoint))
    yield from ("## Sample images", "", *_samples(page.samples))
    yield from ("## Evaluation of the checkpoint", "", *_evaluation(page.evaluation), *_gallery(page.evaluated))
    yield from ("## Inside the model", "", *_gallery(page.inside))
    yield from ("## What was not measured, and why", "", *_absent(page.absent))
    yield from ("## How it was measured", "", *listed(page.notes))
    yield from ("## Files", "", *_files(page))
    yield from ("## Repeat it", "", *code(page.command), "", *_repeat(page))


def _ship(page: Page) -> Iterator[str]:
    """Where nothing can be recommended, no mark of a failure: what failed stands below."""
    for answer in page.ship:
        yield from (f"### {escape(answer.place)}", "") if answer.place else ()
        yield from (f"{MARKS['good' if answer.found else 'idle']} **{escape(answer.headline)}.**", "")
        yield from listed(answer.reasons)
        yield from ("Why not the others:", "", *listed(answer.others)) if answer.others else ()


def _limits(found: Budgets | None) -> Iterator[str]:
    if found:
        yield from ("## Limits", "", f"{MARKS[found.tone]} **{escape(found.headline)}.**", "", *listed(found.broken))
        body = [(escape(row.artifact), escape(row.place), *map(_limit, row.figures)) for row in found.rows]
        yield from table(("Artifact", "On", *map(escape, found.columns)), body)


def _limit(found: Figure) -> str:
    return f"{MARKS[found.tone]} {escape(found.text)}" if found.tone else ""


def _measured(found: tuple[Measured, ...]) -> Iterator[str]:
    if not found:
        yield from ("Nothing was measured: the reasons stand below.", "")
    for one in found:
        yield from (f"### {escape(one.place)}", "")
        yield from table(measured.HEAD, [tuple(map(escape, row)) for row in one.rows])
        yield from listed(one.notes)


def _delegation(found: tuple[Cost, ...]) -> Iterator[str]:
    if not found:
        yield from ("Not counted: nothing was exported.", "")
    for one in found:
        yield from (f"- **{escape(one.artifact)}**: {escape(one.taken)}. Time by operator: {escape(one.said)}.", "")
        if one.rows:
            yield from table(delegation.HEAD, [tuple(map(escape, row)) for row in one.rows])
        if one.blocks:
            yield from table(delegation.BLOCKS, [tuple(map(escape, row)) for row in one.blocks])


def _absent(found: tuple[Absent, ...]) -> Iterator[str]:
    if not found:
        yield from ("Everything was measured.", "")
        return
    yield from table(("What", "Of", "Why"), [(escape(one.what), escape(one.whose), escape(one.why)) for one in found])


def _repeat(page: Page) -> Iterator[str]:
    yield from ("### Rules of the bench", "", *(facts(page.rules) if page.rules else ("Not recorded.", "")))
    for device in page.devices:
        yield from (f"### {escape(device.place)}", "", *facts(device.facts))
    yield from ("### Machine and versions", "", f"Machine: {escape(page.machine)}", "", *facts(page.versions))


def listed(items: Iterable[str]) -> Iterator[str]:
    lines = [f"- {escape(item)}" for item in items]
    yield from (*lines, "") if lines else ()


def facts(found: tuple[Fact, ...]) -> Iterator[str]:
    yield from table(("", ""), [(escape(fact.name), escape(fact.value)) for fact in found])


def table(head: tuple[str, ...], body: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Cells are escaped already; they may hold <br>."""
    for cells in (head, ("---",) * len(head), *body):
        yield f"| {' | '.join(cells)} |"
    yield ""


def _artifacts(rows: tuple[Row, ...]) -> Iterator[str]:
    if not rows:
        yield from ("No artifact was exported.", "")
        return
    head = ("Target", "Recipe", "Outcome", *(cell.column for cell in rows[0].cells))
    yield from table(head, [_artifact(row) for row in rows])


def _artifact(row: Row) -> tuple[str, ...]:
    reason = f"<br>{escape(row.reason)}" if row.reason else ""
    outcome = f"{MARKS[row.tone]} {escape(row.outcome)}{reason}"
    return escape(row.target), escape(row.recipe), outcome, *(_cell(cell) for cell in row.cells)


def _runtimes(found: Matrix | None) -> Iterator[str]:
    if found:
        yield from ("## In other runtimes that may open the files", "")
        yield from table(("Artifact", *map(escape, found.columns)), [_in_runtimes(line) for line in found.lines])
        yield from listed(found.notes)


def _in_runtimes(line: Line) -> tuple[str, ...]:
    return escape(line.artifact), *(f"{MARKS[c.tone]} {escape(c.text)}<br>{escape(c.figure)}" for c in line.cells)


def _cell(cell: Cell) -> str:
    return "<br>".join(escape(line.text) for line in cell.lines)


def _evaluation(found: Evaluation | None) -> Iterator[str]:
    if found:
        yield from facts(found.facts)
        for ranking in found.rankings:
            yield from _ranking(ranking)


def _ranking(ranking: Ranking) -> Iterator[str]:
    yield from (escape(ranking.title), "")
    yield from table(ranking.head, [tuple(escape(cell) for cell in row) for row in ranking.rows])


def _gallery(found: Gallery) -> Iterator[str]:
    """The words of the pictures, which report.html shows."""
    said = [f"- **{escape(picture.title)}.** {escape(picture.words)}" for picture in found.pictures]
    said += [f"- {escape(note)}" for note in found.notes]
    yield from (*said, "") if said else ("Not drawn: the report holds no pictures of it.", "")


def _samples(shown: tuple[Shown, ...]) -> Iterator[str]:
    if not shown:
        yield from ("Not shown: the report holds no sample images.", "")
        return
    body = [(str(sample.number), escape(sample.truth), _answers(sample)) for sample in shown]
    yield from table(("Image", "Truth", "Answers"), body)


def _answers(sample: Shown) -> str:
    if not sample.answers:
        return "not measured: no model was asked"
    disagree = "**models disagree**<br>" if sample.disagree else ""
    return disagree + "<br>".join(_answer(answer) for answer in sample.answers)


def _answer(answer: Answer) -> str:
    mark = "✓ right" if answer.right else "✗ wrong"
    return f"{mark}: {escape(answer.label)} ({escape(', '.join(answer.models))})"


def _files(page: Page) -> Iterator[str]:
    yield from table(("", "sha256"), [("checkpoint weights", escape(page.weights_sha256))])
    body = [(escape(f.artifact), _hashes(f), escape(f.tolerance), escape(f.conversion)) for f in page.files]
    yield from table(("Artifact", "Files and their sha256", "Tolerance", "Conversion on the host"), body)


def _hashes(file: File) -> str:
    return "<br>".join(f"{escape(f.name)} {escape(f.value)}" for f in file.hashes) or "none: no file was written"


def code(text: str) -> Iterator[str]:
    """A fence longer than any run of backticks inside it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}sh", text, fence)
