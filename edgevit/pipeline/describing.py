"""Metadata of a format's own, written into a file that was converted."""

from __future__ import annotations

from pathlib import Path

import targets
from edgevit.stage import Children
from edgevit.types import Artifact, Progress, Target


def describe(artifact: Artifact, target: Target, into: Path, progress: Progress, children: Children) -> tuple[str, ...]:
    """Let the target's writer do so, if it has one; what the file does not hold as notes."""
    if not target.metadata:
        return ()
    absent = [library.module for library in target.metadata.needs if not targets.present(library)]
    if absent:
        return (f"its file holds no metadata of its own, since {', '.join(absent)} is not installed",)
    job = "edgevit.jobs.program:describe"
    return children.run(job, tuple[str, ...], progress, artifact=artifact, into=into).value
