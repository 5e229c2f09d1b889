"""The checkpoint's evaluation and what is inside it, on the page and in the Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgevit import record
from edgevit import report as reports
from edgevit.report import evaluation, html, markdown, page
from edgevit.types import Bin, ClassScore, Confused, EvalResult, Gallery, Picture, Report

PNG = "data:image/png;base64,iVBORw0KGgo="
OTHER = "data:image/png;base64,iVBORw0KGgoAAAA="


def evaluated(hostile: str) -> EvalResult:
    scores = (
        ClassScore("cat", 500, 499, 510, 0.998, 0.978),
        ClassScore("dog", 499, 480, 489, 0.962, 0.982),
        ClassScore(hostile, 1, 0, 0, 0.0, None),
        ClassScore("nobody", 0, 0, 1, None, 0.0),
    )
    pairs = (Confused("dog", "cat", 19, (1, 0)), Confused(hostile, "nobody", 1, (2, 3)))
    bins = (Bin(0, 0.5, 0), Bin(0.5, 1, 1000, 0.99, 0.979))
    return EvalResult(0.979, 1000, 0.968, 0.986, 0.1234, ("bad.jpg",), None, 0.011, bins, scores, pairs)


@pytest.fixture
def full(report: Report, hostile: str) -> Report:
    pictures = (Picture("Filters", f"What one sees: {hostile}", PNG, OTHER),)
    return replace(
        report,
        evaluation=evaluated(hostile),
        evaluated=Gallery((Picture("Confusion", "Rows are truths.", PNG, OTHER),)),
        inside=Gallery(pictures, ("position embeddings: none",)),
    )


def test_the_page_shows_figures_tables_and_pictures(full: Report, hostile: str) -> None:
    source = html.render(page.build(full), full)
    text = " ".join(re.sub("<[^>]+>", " ", source).split())
    for needed in (
        "97.9 % of 1,000 images (95 % interval 96.8 % to 98.6 %)",
        "0.1234 (mean cross-entropy)",
        "1.10 points, over 2 bins of confidence",
        "not measured: always right with up to five classes",
        "1 unreadable image left out",
        "Class by class, the weakest 3 of 4",
        "dog 499 480 96.2 % 98.2 %",
        "never answered",
        "dog cat 19",
        "Rows are truths.",
        "position embeddings: none",
        "Inside the model",
    ):
        assert needed in text, needed
    assert "<script>" not in source and source.count("<picture>") == 2
    assert source.count(f'media="screen and (prefers-color-scheme: dark)" srcset="{OTHER}"') == 2
    assert source.count(f'<img src="{PNG}"') == 2


def test_the_markdown_says_the_same(full: Report) -> None:
    text = markdown.render(page.build(full))
    assert "## Evaluation of the checkpoint" in text and "| dog | 499 | 480 | 96.2 % | 98.2 % |" in text
    assert "| dog | cat | 19 |" in text and "- **Confusion.** Rows are truths." in text
    assert not re.search(r"(?<!\\)<(?!br>)", text)


def test_what_was_not_measured_says_why(report: Report) -> None:
    gone = replace(report, evaluated=Gallery(notes=("not measured: no such data: pets",)))
    for text in (html.render(page.build(gone), gone), markdown.render(page.build(gone))):
        assert "not measured: no such data: pets" in text
        assert "Not drawn: the report holds no pictures of it." in text


@pytest.mark.parametrize(
    "foreign", ["https://example.org/x.png", "data:image/svg+xml;base64,PHN2Zz4=", "", 'data:image/png;base64,"']
)
def test_a_picture_that_does_not_carry_itself_is_named_and_not_shown(report: Report, foreign: str) -> None:
    for pair in ((foreign, PNG), (PNG, foreign)):
        odd = replace(report, inside=Gallery((Picture("Odd one", "words", *pair),)))
        source = html.render(page.build(odd), odd)
        assert "<picture>" not in source and "not shown, since the record does not carry its picture: Odd one" in source


def test_it_is_in_the_record(full: Report, tmp_path: Path) -> None:
    reports.write(full, tmp_path)
    read = record.read(tmp_path / "report.json", Report)
    assert (read.evaluation, read.evaluated, read.inside) == (full.evaluation, full.evaluated, full.inside)


def test_a_thousand_classes_show_the_ten_weakest(hostile: str) -> None:
    scores = tuple(ClassScore(f"class {n}", 10, n % 11, 10, (n % 11) / 10, 0.5) for n in range(1000))
    pairs = tuple(Confused(f"class {n}", "class 0", 1, (n, 0)) for n in range(1, 1000))
    found = evaluation.build(replace(evaluated(hostile), per_class=scores, confused=pairs))
    classes, confused = found.rankings
    assert len(classes.rows) == len(confused.rows) == 10 and {row[3] for row in classes.rows} == {"0.0 %"}
    assert "the weakest 10 of 1,000" in classes.title and "the first 10 of 999 pairs" in confused.title


def test_nothing_confused_has_no_empty_table(hostile: str) -> None:
    found = evaluation.build(replace(evaluated(hostile), confused=()))
    assert len(found.rankings) == 1
