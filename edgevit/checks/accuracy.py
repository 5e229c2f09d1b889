"""An artifact beside its checkpoint, image by image."""

from __future__ import annotations

import numpy as np

from edgevit.checks.statistics import allowed
from edgevit.types import CheckResult, Outcome, Tolerance


def relative_error(logits: np.ndarray, reference: np.ndarray) -> float:
    """|logits - reference| / |reference| over all of a batch (N, classes); infinite where either holds no numbers."""
    if not np.isfinite(logits).all():
        return float("inf")
    return float(np.linalg.norm(logits - reference) / max(float(np.linalg.norm(reference)), 1e-30))


def _answers(logits: np.ndarray, none: int) -> np.ndarray:
    return np.where(np.isfinite(logits).all(1), logits.argmax(1), none)


def compare(
    logits: np.ndarray,
    reference: np.ndarray,
    classes: np.ndarray,
    golden_error: float,
    tolerance: Tolerance,
    where: str,
) -> CheckResult:
    """`logits` (N, classes) of the artifact, `reference` of the checkpoint, the true `classes` (N).

    An image whose logits are no numbers has no answer: it is neither right nor the same as anything.
    """
    answers, expected = _answers(logits, -1), _answers(reference, -2)
    n = len(classes)
    right, reference_right = int((answers == classes).sum()), int((expected == classes).sum())
    differing = int((answers != expected).sum())
    broken = []
    if nowhere := int((answers < 0).sum()):
        broken.append(f"{nowhere} of {n} images get no numbers")
    if not golden_error <= tolerance.relative_error:
        broken.append(f"relative error {golden_error:.2g} of the golden logits, allowed {tolerance.relative_error:g}")
    if reference_right - right > allowed(tolerance.drop, n):
        broken.append(f"top-1 {100 * (reference_right - right) / n:.2f} points lower, allowed {100 * tolerance.drop:g}")
    if differing > allowed(1 - tolerance.agreement, n):
        broken.append(f"{differing} of {n} answers differ, allowed {allowed(1 - tolerance.agreement, n)}")
    return CheckResult(
        outcome=Outcome.WRONG_ANSWERS if broken else Outcome.PASS,
        reason="; ".join(broken),
        top1=right / n,
        reference_top1=reference_right / n,
        agreement=1 - differing / n,
        images=n,
        relative_error=golden_error,
        where=where,
    )
