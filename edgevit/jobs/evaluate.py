"""How good a checkpoint is."""

from __future__ import annotations

from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit.jobs.answers import loader, outputs, torch_runner
from edgevit.types import DataChoice, EvalResult, Progress


def evaluate(checkpoint: Path, data: DataChoice, progress: Progress) -> EvalResult:
    """All figures of a checkpoint on the chosen images."""
    from edgevit.checks import evaluation

    record, model = checkpoints.load(checkpoint)
    chosen = loader(record, data)
    logits, classes = outputs(torch_runner(model), chosen, progress, "evaluating")
    return evaluation.evaluate(logits, classes, record.labels, tuple(sorted(chosen.skipped)))
