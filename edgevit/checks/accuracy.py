"""An artifact beside its checkpoint, image by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgevit.checks.statistics import allowed, change, mcnemar, visible
from edgevit.types import CheckResult, Damage, Outcome, Paired, Tolerance

FIVE, WORST = 5, 10


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
    labels: Sequence[str] = (),
) -> CheckResult:
    """`logits` (N, classes) of the artifact, `reference` of the checkpoint, the true `classes` (N) and what they are called.

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
        paired=_paired(logits, reference, classes, labels),
        where=where,
    )


def _paired(logits: np.ndarray, reference: np.ndarray, classes: np.ndarray, labels: Sequence[str]) -> Paired:
    ours, theirs = _answers(logits, -1) == classes, _answers(reference, -2) == classes
    lost, won = ~ours & theirs, ours & ~theirs
    n, worse, better = len(classes), int(lost.sum()), int(won.sum())
    low, high = change(int((ours & theirs).sum()), worse, better, int((~ours & ~theirs).sum()))
    top5, reference_top5 = (_top5(x, classes) if x.shape[1] > FIVE else None for x in (logits, reference))
    return Paired(
        worse,
        better,
        mcnemar(worse, better),
        low,
        high,
        visible(worse, better, n),
        top5,
        reference_top5,
        _damage(lost, won, classes, labels),
    )


def _top5(logits: np.ndarray, classes: np.ndarray) -> float:
    whole = np.isfinite(logits).all(1)
    own = np.take_along_axis(logits, classes[:, None].astype(np.int64), 1)
    return float((whole & ((logits > own).sum(1) < FIVE)).mean())


def _damage(lost: np.ndarray, won: np.ndarray, classes: np.ndarray, labels: Sequence[str]) -> tuple[Damage, ...]:
    found = []
    for number in np.unique(classes[lost | won]).tolist():
        own = classes == number
        name = labels[number] if number < len(labels) else str(number)
        found.append(Damage(name, int(own.sum()), int(lost[own].sum()), int(won[own].sum())))
    return tuple(sorted(found, key=lambda damage: (damage.won - damage.lost, damage.label))[:WORST])
