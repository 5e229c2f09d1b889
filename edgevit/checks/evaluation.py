"""How good the answers to labelled images are: top-1, top-5, class by class, and how far their probabilities can be believed."""

from __future__ import annotations

import numpy as np

from edgevit.errors import BadInput
from edgevit.interval import wilson
from edgevit.types import Bin, ClassScore, Confused, EvalResult

BINS = 15
"""Of equal width, as in arXiv 1706.04599."""


def evaluate(logits: np.ndarray, classes: np.ndarray, labels: tuple[str, ...], skipped: tuple[str, ...] = ()) -> EvalResult:
    """`logits` (N, classes) of any model and the true `classes` (N). Raises BadInput where the logits are no numbers."""
    _require_numbers(logits)
    n, classes = len(classes), classes.astype(np.int64)
    ranks = _ranks(logits, classes)
    right = int((ranks == 0).sum())
    low, high = wilson(right / n, n)
    counts = confusion(logits.argmax(1), classes, len(labels))
    bins = calibration(logits, classes)
    return EvalResult(
        top1=right / n,
        images=n,
        low=low,
        high=high,
        loss=cross_entropy(logits, classes),
        skipped=skipped,
        top5=int((ranks < 5).sum()) / n if len(labels) > 5 else None,
        ece=calibration_error(bins),
        bins=bins,
        per_class=_per_class(counts, labels),
        confused=_confused(counts, labels),
    )


def _require_numbers(logits: np.ndarray) -> None:
    broken = int((~np.isfinite(logits).all(1)).sum())
    if broken:
        raise BadInput(f"logits with NaN or infinity: {broken} of {len(logits)} images", "the model computes no numbers there")


def _ranks(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How many classes are answered before the true one (N); of equal logits the first class goes before, as in argmax."""
    own = np.take_along_axis(logits, classes[:, None], 1)
    before = np.arange(logits.shape[1]) < classes[:, None]
    return ((logits > own) | ((logits == own) & before)).sum(1)


def cross_entropy(logits: np.ndarray, classes: np.ndarray) -> float:
    """The mean of -log p(true class), in nats."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(classes)), classes]).mean())


def confusion(answers: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """(count, count): images by their true class (row) and the answer (column)."""
    return np.bincount(classes * count + answers, minlength=count * count).reshape(count, count)


def _per_class(counts: np.ndarray, labels: tuple[str, ...]) -> tuple[ClassScore, ...]:
    figures = zip(labels, counts.sum(1).tolist(), counts.diagonal().tolist(), counts.sum(0).tolist(), strict=True)
    return tuple(
        ClassScore(label, images, right, answered, _share(right, images), _share(right, answered))
        for label, images, right, answered in figures
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _confused(counts: np.ndarray, labels: tuple[str, ...]) -> tuple[Confused, ...]:
    pairs = [(int(t), int(a), int(counts[t, a])) for t, a in np.argwhere(counts) if t != a]
    pairs.sort(key=lambda pair: (-pair[2], pair[0], pair[1]))
    return tuple(Confused(labels[truth], labels[answer], images, (truth, answer)) for truth, answer, images in pairs)


def calibration(logits: np.ndarray, classes: np.ndarray, bins: int = BINS) -> tuple[Bin, ...]:
    """The images by the probability of their answer; the m-th bin is ((m - 1) / bins, m / bins]."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    confidence = 1 / np.exp(shifted).sum(1)
    right = logits.argmax(1) == classes
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return tuple(_bin(m, bins, confidence[place == m], right[place == m]) for m in range(bins))


def _bin(number: int, bins: int, confidence: np.ndarray, right: np.ndarray) -> Bin:
    low, high = number / bins, (number + 1) / bins
    if len(right) == 0:
        return Bin(low, high, 0)
    return Bin(low, high, len(right), float(confidence.mean()), float(right.mean()))


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """ECE: |accuracy - confidence| of the bins, weighted by their images (Guo et al., arXiv 1706.04599, equation 3)."""
    filled = [(b.images, abs(b.accuracy - b.confidence)) for b in bins if b.accuracy is not None and b.confidence is not None]
    return sum(images * gap for images, gap in filled) / sum(images for images, _ in filled)
