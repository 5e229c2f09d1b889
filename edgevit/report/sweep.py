"""The report of a search: which settings did best, all trials in order, and what each setting did, as a page, text and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgevit import record
from edgevit.report import html, markdown, sweep_charts, words
from edgevit.report.evaluation import Fact
from edgevit.types import Ending, Sweep, Trial, in_words, option_name, value_in_words
from edgevit.types.sweep import IMPORTANT, SWEPT, ranked

TEMPLATE = "sweep.html.jinja"
TONES = {Ending.DONE: "good", Ending.PRUNED: "idle", Ending.OPEN: "idle"}
"""Others are bad."""


@dataclass(frozen=True)
class Row:
    """A trial in the table; `cells` are those of its settings."""

    number: str
    rank: str
    top1: str
    cells: tuple[str, ...]
    seconds: str
    ending: str
    tone: str
    why: str


@dataclass(frozen=True)
class Page:
    title: str
    made: str
    headline: str
    details: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    importance: tuple[Fact, ...]
    importance_note: str
    facts: tuple[Fact, ...]
    again: str
    command: str


def write(found: Sweep, into: Path) -> None:
    """Write the three files of the report into the folder `into`. All are rendered before the first is written."""
    page = build(found)
    charts = sweep_charts.draw(found)
    texts = {".md": _markdown(page), ".html": html.fill(TEMPLATE, page=page, charts=charts)}
    for name in SWEPT:
        if name.endswith(".json"):
            record.write(into / name, found)
        else:
            (into / name).write_text(texts[Path(name).suffix], encoding="utf-8", newline="\n")


def build(found: Sweep) -> Page:
    names = [one.name for one in found.space]
    head = ("Trial", "Rank", "Top-1", *map(option_name, names), "Seconds", "Came out")
    return Page(
        f"Search: {words.plain(found.name)}", words.plain(found.made), _headline(found), tuple(_details(found)), head,
        tuple(_row(rank, trial, names) for rank, trial in enumerate(ranked(found.trials), start=1)),
        *_importance(found), tuple(_facts(found)), found.again, found.command,
    )  # fmt: skip


def _best(found: Sweep) -> Trial | None:
    return next((trial for trial in found.trials if trial.number == found.best), None)


def _headline(found: Sweep) -> str:
    best = _best(found)
    if best is None or best.top1 is None:
        return f"None of {words.counted(len(found.trials), 'trial')} came to its end"
    of = f" of {words.counted(found.judged_on, 'image')}" if found.judged_on else ""
    return f"Trial {best.number} did best: {words.percent(best.top1)}{of}, with {words.plain(in_words(best.settings))}"


def _details(found: Sweep) -> Iterator[str]:
    if found.low is not None and found.high is not None:
        yield f"95 % interval of that figure: {words.percent(found.low)} to {words.percent(found.high)}."
        if found.near:
            lie = "other trial lies" if found.near == 1 else "other trials lie"
            yield f"{found.near} {lie} within it: so many images do not tell them from the best."
    if found.best is not None:
        yield "It was chosen for this figure, so on these images it looks its best."
    if found.final_top1 is not None:
        held_out = f"{words.percent(found.final_top1)} of the held-out ones, which had no say"
        yield f"Trained with these settings on all training images: {held_out}."


def _row(rank: int, trial: Trial, names: list[str]) -> Row:
    cells = tuple(value_in_words(trial.settings[name]) if name in trial.settings else "not drawn" for name in names)
    return Row(
        f"Trial {trial.number}", str(rank) if trial.top1 is not None else "",
        "none" if trial.top1 is None else words.percent(trial.top1), tuple(map(words.plain, cells)),
        "" if trial.seconds is None else f"{trial.seconds:.1f}", trial.ending.value, TONES.get(trial.ending, "bad"), _why(trial),
    )  # fmt: skip


def _why(trial: Trial) -> str:
    said = [words.plain(trial.why)] if trial.why else []
    if trial.ending is Ending.PRUNED and trial.epochs:
        said.insert(0, f"{words.percent(trial.epochs[-1])} after {words.counted(len(trial.epochs), 'epoch')}")
    if trial.attempts > 1:
        said.append(f"begun {trial.attempts} times")
    return "; ".join(said)


def _importance(found: Sweep) -> tuple[tuple[Fact, ...], str]:
    done = words.counted(sum(trial.ending is Ending.DONE for trial in found.trials), "trial")
    if len(found.space) < 2:
        return (), "Not computed: one setting alone was searched."
    if not found.importance:
        return (), f"Not computed: {done} came to the end, and fewer than {IMPORTANT} say nothing."
    order = sorted(found.importance.items(), key=lambda item: -item[1])
    facts = tuple(Fact(option_name(words.plain(name)), words.percent(share)) for name, share in order if math.isfinite(share))
    return facts, f"Share of each setting in what sets the better trials apart, by PED-ANOVA of the {done} that came to the end."


def _facts(found: Sweep) -> Iterator[Fact]:
    yield from (Fact(option_name(one.name), one.between) for one in found.space)
    yield Fact("Images", words.plain(Path(found.train.data).name))
    yield from _rules(found)
    counts = {ending: sum(trial.ending is ending for trial in found.trials) for ending in Ending}
    yield Fact("Came out", ", ".join(f"{count} {ending.value}" for ending, count in counts.items() if count))
    yield Fact("Time of all trials", words.duration(sum(trial.seconds or 0.0 for trial in found.trials)))
    hosts = sorted({words.plain(trial.where) for trial in found.trials if trial.where})
    if len(hosts) > 1:
        yield Fact("On machines", ", ".join(hosts))
    yield Fact("Machine of this report", words.plain(found.machine))
    yield Fact("Versions", ", ".join(f"{words.plain(n)} {words.plain(v)}" for n, v in sorted(found.versions.items())))


def _rules(found: Sweep) -> Iterator[Fact]:
    rules = found.rules
    trials = words.counted(rules.trials, "trial")
    yield Fact("Searched", f"all {rules.trials} points of a grid" if rules.grid else f"{trials} drawn by TPE, seed {rules.seed}")
    some = f"{found.judged_on:,} of the training images" if found.judged_on else "a part of the training images"
    yield Fact("Judged by", f"top-1 on {some}, from which no trial learned")
    early = "below the median of the trials before it, after an epoch" if rules.prune else "no trial"
    yield Fact("Stopped early", early)


def _markdown(page: Page) -> str:
    return "\n".join(_lines(page)).rstrip("\n") + "\n"


def _lines(page: Page) -> Iterator[str]:
    escape = markdown.escape
    yield from (f"# {escape(page.title)}", "", escape(page.made), "", f"**{escape(page.headline)}.**", "")
    yield from markdown.listed(page.details)
    yield from ("## Trials", "")
    yield from markdown.table(tuple(map(escape, page.head)), [_cells(row) for row in page.rows])
    yield from (
        "## Importance",
        "",
        escape(page.importance_note),
        "",
        *(markdown.facts(page.importance) if page.importance else ()),
    )
    yield from ("## How it was searched", "", *markdown.facts(page.facts))
    if page.again:
        yield from ("## The best again", "", *markdown.code(page.again), "")
    if page.command:
        yield from ("## The search again", "", *markdown.code(page.command))


def _cells(row: Row) -> tuple[str, ...]:
    escape = markdown.escape
    why = f"<br>{escape(row.why)}" if row.why else ""
    texts = (row.number, row.rank, row.top1, *row.cells, row.seconds)
    return *map(escape, texts), f"{markdown.MARKS[row.tone]} {escape(row.ending)}{why}"
