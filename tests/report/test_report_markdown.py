"""The Markdown: GitHub's tables hold whatever a label contains."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from edgevit.report import markdown, page
from edgevit.types import Latency, Report


def tables(text: str) -> list[list[str]]:
    """The tables of a Markdown text, each as its lines."""
    blocks = re.split(r"\n\s*\n", text)
    return [block.splitlines() for block in blocks if block.startswith("|")]


def columns(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_every_table_is_whole(written: Path) -> None:
    found = tables((written / "report.md").read_text())
    assert len(found) == 9
    for lines in found:
        assert {columns(line) for line in lines} == {columns(lines[0])}, lines[0]


def test_the_artifacts_are_one_row_each(report: Report) -> None:
    text = markdown.render(page.build(report))
    head, _, *rows = next(lines for lines in tables(text) if lines[0].startswith("| Target"))
    assert (len(rows), columns(head)) == (6, 11)
    assert "✅ PASS" in rows[0]
    assert "97.2 %<br>no change" in rows[0]
    assert "❌ WRONG\\_ANSWERS<br>top-1 fell by 8.20 points" in rows[3]
    assert "reference evaluator" in rows[4] and "not measured: Core ML does not run on Linux" in rows[4]
    assert rows[5].count("not measured: skipped") == len(report.artifacts) + 2


def test_the_answer_comes_first_and_then_the_verdict(written: Path) -> None:
    lines = (written / "report.md").read_text().splitlines()
    assert lines[0] == "# Pets on a phone"
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[:2] == ["## Ship this, because", "## Do they answer as the checkpoint does"]
    assert lines[lines.index(headings[1]) + 2].startswith("❌ **1 of 6 artifacts failed: litert-int4")


def test_a_hostile_label_is_text(written: Path) -> None:
    text = (written / "report.md").read_text()
    assert r"\<script\>" in text and r"\</script\>\|x \<img" in text
    assert not re.search(r"(?<!\\)<(?!br>)", text)


def test_a_disagreement_comes_first_and_says_who(written: Path) -> None:
    samples = next(lines for lines in tables((written / "report.md").read_text()) if lines[0].startswith("| Image"))
    assert samples[2] == (
        "| 2 | dog | **models disagree**<br>✓ right: dog (checkpoint, executorch-fp32)<br>✗ wrong: cat (litert-int4) |"
    )
    assert samples[3] == "| 1 | cat | ✓ right: cat (checkpoint, executorch-fp32, litert-int4) |"


def test_facts_hashes_tolerances_and_command_are_there(written: Path) -> None:
    text = (written / "report.md").read_text()
    for needed in (
        "5.72 M (5,717,416)",
        "97.2 % of 1,000 held-out images (95 % interval 96.0 % to 98.1 %)",
        f"model.pte {'ab12' * 16}",
        f"golden.safetensors {'fe' * 32}",
        "c0de" * 16,
        "relative error up to 0.05, top-1 at most 1 points lower, agreement at least 97 %",
        "23.4 s, peak memory 1.23 GB",
        "Somebody's laptop, 8 cores, Linux",
        "| torch | 2.13.0 |",
        "```sh\nedgevit all pets --out runs/pets\n```",
        "For a Core ML file this is not Core ML",
    ):
        assert needed in text, needed


def test_whose_answers_an_artifact_was_compared_with(report: Report) -> None:
    taught = replace(report, artifacts=tuple(replace(a, origin="../float") for a in report.artifacts))
    assert "(95 % interval 96.0 % to 98.1 %) by the one it began from" in markdown.render(page.build(taught))
    assert "by the one it began from" not in markdown.render(page.build(report))


def test_a_fence_in_the_command_does_not_end_the_block(report: Report) -> None:
    text = markdown.render(page.build(replace(report, command="echo ```\n# not a heading")))
    assert "````sh\necho ```\n# not a heading\n````\n" in text


def test_versions_that_differ_say_whose(report: Report) -> None:
    other = replace(report.artifacts[1], versions={"torch": "2.12.0"})
    facts = page.build(replace(report, artifacts=(report.artifacts[0], other))).versions
    torch = next(fact.value for fact in facts if fact.name == "torch")
    assert torch == "2.13.0 (checkpoint and executorch-fp32); 2.12.0 (executorch-int8)"


def test_a_latency_of_nobody_is_named(report: Report) -> None:
    lost = replace(report, latencies=(*report.latencies, Latency("onnx-int8", "host", 1.0)))
    assert page.build(lost).notices == ("a latency of onnx-int8 belongs to no artifact of this report",)
    assert page.build(report).notices == ()


def test_two_artifacts_of_one_name_are_named(report: Report) -> None:
    twins = replace(report, artifacts=(*report.artifacts, report.artifacts[0]))
    assert page.build(twins).notices == (
        "more than one artifact is called executorch-fp32: their latencies cannot be told apart",
    )
