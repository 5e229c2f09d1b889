"""The limits of a road stand in its report beside their figures: what is broken is named first, and red."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from edgevit import report as reports
from edgevit.report import html, markdown, page, schema
from edgevit.types import Held, Report

KEPT = Held("executorch-int8", "", "", "size_mb", 1.0, 0.431, True)
SLOW = Held("executorch-fp32", "adb:<b>R5CT</b>", "gpu", "p90_ms", 20.0, 31.24, False)
GONE = Held("coreml-int8", "adb:<b>R5CT</b>", "cpu", "p90_ms", 20.0, None, None, "Core ML does not run on Android")


@pytest.fixture
def limited(report: Report) -> Report:
    return replace(report, held=(KEPT, SLOW, GONE))


def test_without_limits_there_is_no_such_section(report: Report) -> None:
    built = page.build(report)
    assert built.limits is None and 'id="limits"' not in html.render(built, report)
    assert "## Limits" not in markdown.render(built)


def test_what_is_broken_is_named_and_red(limited: Report) -> None:
    built = page.build(limited)
    assert built.limits and (built.limits.tone, built.limits.headline) == ("bad", "1 of 3 limits broken, 1 not measured")
    text = html.render(built, limited)
    assert "executorch-fp32 on adb:&lt;b&gt;R5CT&lt;/b&gt; (gpu): p90 31.2 ms, limit 20" in text and "<b>R5CT" not in text
    assert '<span class="outcome bad">31.2 of 20</span>' in text and '<span class="outcome good">0.4 of 1</span>' not in text
    assert '<span class="outcome good">0.43 of 1</span>' in text and '<span class="outcome idle">none of 20</span>' in text
    assert text.index('id="measured"') < text.index('id="limits"') < text.index('id="spread"')


def test_the_markdown_has_the_same_cells(limited: Report) -> None:
    section = markdown.render(page.build(limited)).partition("## Limits")[2].partition("\n## ")[0]
    assert "| Artifact | On | p90 ms | size MB |" in section and "❌ **1 of 3 limits broken, 1 not measured.**" in section
    assert "| executorch-int8 | file |  | ✅ 0.43 of 1 |" in section and "⚠️ none of 20" in section


@pytest.mark.parametrize(
    ("held", "tone", "said"),
    [
        ((KEPT,), "good", "1 of 1 limit held, none broken"),
        ((KEPT, GONE), "idle", "1 of 2 limits held, none broken, 1 not measured"),
    ],
)
def test_limits_that_hold_are_said_to(report: Report, held: tuple[Held, ...], tone: str, said: str) -> None:
    built = page.build(replace(report, held=held)).limits
    assert built and (built.tone, built.headline, built.broken) == (tone, said, ())


def test_the_json_keeps_them_and_holds_to_its_schema(limited: Report, tmp_path: Path) -> None:
    reports.write(limited, tmp_path / "report")
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    jsonschema.validate(written, json.loads(schema.published()))
    assert [one["holds"] for one in written["held"]] == [True, False, None]
