"""The first sentence: it never says "all agree" where one does not, was not tried, or is another model's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgevit.report import verdict
from edgevit.types import Outcome, Report


def test_all_agree_and_an_evaluator_is_named(all_pass: Report) -> None:
    found = verdict.build(all_pass)
    assert (found.tone, found.headline) == ("good", "All 4 artifacts agree with the checkpoint")
    assert found.details == ("coreml-int8 was computed by the reference evaluator, not by the target's own runtime",)


def test_a_failure_comes_first_with_its_stage(report: Report) -> None:
    found = verdict.build(report)
    assert found.tone == "bad"
    assert found.headline == ("1 of 6 artifacts failed: litert-int4 stopped at checking the answers; 4 agree with the checkpoint")
    assert found.details[0] == "litert-int4: WRONG_ANSWERS, top-1 fell by 8.20 points"
    assert found.details[1] == "coreml-int4: SKIPPED, coremltools is not installed"


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.PASS, *verdict.NOT_TRIED)])
def test_every_failure_is_loud_and_names_its_stage(report: Report, outcome: Outcome) -> None:
    failed = replace(report, artifacts=(replace(report.artifacts[0], outcome=outcome),))
    found = verdict.build(failed)
    assert found.tone == "bad"
    assert found.headline.startswith(f"1 of 1 artifact failed: executorch-fp32 {verdict.STOPPED_AT[outcome]};")


def test_a_skip_is_no_failure_and_no_agreement(report: Report) -> None:
    found = verdict.build(replace(report, artifacts=(report.artifacts[0], report.artifacts[5])))
    assert (found.tone, found.headline) == ("idle", "1 of 2 artifacts agrees with the checkpoint; 1 was not checked")


def test_an_unchecked_artifact_is_no_failure_and_no_agreement(report: Report) -> None:
    why = "nothing here was built with VulkanBackend"
    unchecked = replace(report.artifacts[0], outcome=Outcome.UNCHECKED, reason=why, top1=None, agreement=None, where="none")
    found = verdict.build(replace(report, artifacts=(unchecked, report.artifacts[1])))
    assert (found.tone, found.headline) == ("idle", "1 of 2 artifacts agrees with the checkpoint; 1 was not checked")
    assert found.details == (f"executorch-fp32: UNCHECKED, {why}",)


def test_a_pass_that_nobody_ran_is_no_agreement(report: Report) -> None:
    unchecked = replace(report.artifacts[0], top1=None, agreement=None, where="none")
    found = verdict.build(replace(report, artifacts=(unchecked, report.artifacts[1])))
    assert found.tone == "idle"
    assert found.details == ("executorch-fp32 was not checked: nothing on this machine runs it",)


def test_an_artifact_of_another_checkpoint_does_not_agree(all_pass: Report) -> None:
    stranger = replace(all_pass.artifacts[0], checkpoint_sha256="0" * 64)
    found = verdict.build(replace(all_pass, artifacts=(stranger, *all_pass.artifacts[1:])))
    assert (found.tone, found.headline) == (
        "bad",
        "3 agree with the checkpoint, of 4 artifacts: some were made from another one",
    )
    assert "executorch-fp32 was made from another checkpoint" in found.details


def test_no_artifacts_are_no_success(report: Report) -> None:
    assert verdict.build(replace(report, artifacts=())).tone == "idle"
