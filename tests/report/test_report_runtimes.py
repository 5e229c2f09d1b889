"""What an older runtime makes of a file stands in the report, and what is wrong in red."""

from __future__ import annotations

from dataclasses import replace

from edgevit.report import html, markdown, page
from edgevit.types import Outcome, Ran, Report

RIGHT = Ran("litert-plain", Outcome.PASS, images=16, relative_error=0.002, required=True)
WRONG = Ran("task-library", Outcome.WRONG_ANSWERS, "9 of 16 <b>answers</b> differ", 16, relative_error=1.1, version="0.4.4")


def ran(report: Report) -> Report:
    first, second, *others = report.artifacts
    both = replace(first, runtimes=(RIGHT, WRONG)), replace(second, runtimes=(RIGHT,))
    return replace(report, artifacts=(*both, *others))


def test_a_report_without_other_runtimes_has_no_such_section(report: Report) -> None:
    built = page.build(report)
    assert built.runtimes is None and "In other runtimes" not in html.render(built, report) + markdown.render(built)


def test_what_is_wrong_is_red_and_explained(report: Report) -> None:
    built = page.build(ran(report))
    text = html.render(built, report)
    assert '<span class="outcome bad">WRONG_ANSWERS</span> <span class="small">error 1e+00, 16 images</span>' in text
    assert '<span class="outcome good">PASS (required)</span>' in text
    assert "in task-library 0.4.4: WRONG_ANSWERS: 9 of 16 &lt;b&gt;answers" in text and "<b>answers" not in text
    assert '<span class="outcome idle">does not apply</span>' in text, "the second has not been run in it"


def test_the_markdown_has_the_same_cells(report: Report) -> None:
    text = markdown.render(page.build(ran(report)))
    section = text.partition("## In other runtimes")[2].partition("\n## ")[0]
    assert "| Artifact | litert-plain | task-library |" in section
    assert "✅ PASS (required)<br>error 2e-03, 16 images" in section and "❌ WRONG\\_ANSWERS<br>error 1e+00" in section
