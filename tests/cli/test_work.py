"""What an export says at its end, and the code that it leaves with."""

from __future__ import annotations

import pytest
import typer

from edgevit.cli import figures, work
from edgevit.types import Artifact, Outcome

PASSED = Artifact("tflite", "fp32", Outcome.PASS, top1=0.9, where="host", runtime="LiteRT interpreter")
UNCHECKED = Artifact("executorch-vulkan", "fp32", Outcome.UNCHECKED, "built without VulkanBackend", bytes=5, runtime="Vulkan")


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.PASS])
def test_only_what_passed_leaves_with_zero(outcome: Outcome) -> None:
    work._leave_unless_passed([PASSED])
    with pytest.raises(typer.Exit) as left:
        work._leave_unless_passed([PASSED, Artifact("executorch-vulkan", "fp32", outcome)])
    assert left.value.exit_code == 1


def test_an_unchecked_artifact_shows_no_figure_and_its_reason() -> None:
    row = dict(zip(figures.ARTIFACT_COLUMNS, figures.artifact_row(UNCHECKED), strict=True))
    assert row["outcome"] == "UNCHECKED" and {row[name] for name in ("top-1", "diff", "same", "error", "run on")} == {"none"}
    notes = figures.artifact_notes([PASSED, UNCHECKED])
    assert "executorch-vulkan-fp32: UNCHECKED: built without VulkanBackend" in notes
    assert [note for note in notes if note.startswith("run on")] == ["run on host: LiteRT interpreter"]
