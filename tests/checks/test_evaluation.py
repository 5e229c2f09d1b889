"""The figures of an evaluation, against cases worked out by hand and scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from edgevit import record
from edgevit.checks import evaluation
from edgevit.errors import BadInput
from edgevit.interval import wilson
from edgevit.types import Confused, EvalResult

LABELS = tuple("abcdefgh")


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    """Logits (400, 8) that are right more often than not, and the true classes; none is of the last class."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 7, 400)
    logits = random.normal(size=(400, 8)).astype(np.float32)
    logits[np.arange(400), classes] += 1.5
    return logits, classes


def test_by_hand() -> None:
    """Three images of two classes: right at 0.9, wrong at 0.8, right at 0.6."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    found = evaluation.evaluate(np.log(probabilities), np.array([0, 1, 1]), ("cat", "dog"), ("bad.jpg",))
    assert (found.top1, found.images, found.top5, found.skipped) == (2 / 3, 3, None, ("bad.jpg",))
    assert (found.low, found.high) == wilson(2 / 3, 3)
    assert found.loss == pytest.approx(-(math.log(0.9) + math.log(0.2) + math.log(0.6)) / 3)
    assert found.ece == pytest.approx((0.1 + 0.8 + 0.4) / 3)
    cat, dog = found.per_class
    assert (cat.images, cat.right, cat.answered, cat.recall, cat.precision) == (1, 1, 2, 1.0, 0.5)
    assert (dog.images, dog.right, dog.answered, dog.recall, dog.precision) == (2, 1, 1, 0.5, 1.0)
    assert found.confused == (Confused("dog", "cat", 1, (1, 0)),)


def test_the_bins_are_guos() -> None:
    """15 bins, (low, high]: 0.6 is the end of the ninth, and just above it begins the tenth."""
    probabilities = np.array([[0.6, 0.4], [0.6000001, 0.3999999], [1 - 1e-12, 1e-12]])
    bins = evaluation.calibration(np.log(probabilities), np.array([0, 1, 0]))
    assert len(bins) == 15 and bins[0].low == 0 and bins[-1].high == 1
    assert [number for number, b in enumerate(bins, 1) if b.images] in ([9, 10, 15], [10, 15])
    assert bins[14].accuracy == 1 and bins[9].accuracy in (0, 0.5)
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)
    assert sum(b.images for b in bins) == 3


def test_a_sure_model_that_is_always_right_is_calibrated_and_one_that_is_wrong_is_not() -> None:
    sure = 50 * np.eye(3)[[0, 1, 2, 0]]
    assert evaluation.evaluate(sure, np.array([0, 1, 2, 0]), ("a", "b", "c")).ece == pytest.approx(0)
    assert evaluation.evaluate(sure, np.array([1, 2, 0, 1]), ("a", "b", "c")).ece == pytest.approx(1)


def test_the_rest_is_scikit_learns(answers: tuple[np.ndarray, np.ndarray]) -> None:
    logits, classes = answers
    found = evaluation.evaluate(logits, classes, LABELS)
    given, every = logits.argmax(1), list(range(8))
    assert found.top1 == metrics.accuracy_score(classes, given)
    assert found.top5 == metrics.top_k_accuracy_score(classes, logits, k=5, labels=every)
    exact = logits.astype(np.float64)
    softmax = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
    assert found.loss == pytest.approx(metrics.log_loss(classes, softmax, labels=every))
    precision, recall, _, support = metrics.precision_recall_fscore_support(classes, given, labels=every, zero_division=np.nan)
    assert [c.recall for c in found.per_class[:7]] == pytest.approx(list(recall[:7]))
    assert [c.precision for c in found.per_class] == pytest.approx(list(precision))
    assert [c.images for c in found.per_class] == list(support)
    assert found.per_class[7].recall is None and found.per_class[7].answered > 0
    rebuilt = np.diag([c.right for c in found.per_class])
    for pair in found.confused:
        rebuilt[pair.classes] = pair.images
    assert rebuilt.tolist() == metrics.confusion_matrix(classes, given, labels=every).tolist()
    counts = [pair.images for pair in found.confused]
    assert counts == sorted(counts, reverse=True) and min(counts) > 0


def test_calibration_error_bin_by_bin(answers: tuple[np.ndarray, np.ndarray]) -> None:
    """Written out again with a loop over the edges of the bins."""
    logits, classes = answers
    exact = logits.astype(np.float64)
    softmax = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
    confidence, right = softmax.max(1), softmax.argmax(1) == classes
    expected = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert evaluation.evaluate(logits, classes, LABELS).ece == pytest.approx(expected)


def test_equal_logits_are_ranked_as_argmax_does() -> None:
    found = evaluation.evaluate(np.zeros((8, 8)), np.arange(8), LABELS)
    assert (found.top1, found.top5) == (1 / 8, 5 / 8)
    assert found.per_class[0].answered == 8 and found.per_class[1].precision is None


def test_two_classes_of_one_name_stay_two() -> None:
    found = evaluation.evaluate(np.eye(3)[[1, 0, 2]], np.array([0, 1, 2]), ("crane", "crane", "ship"))
    assert {pair.classes for pair in found.confused} == {(0, 1), (1, 0)}


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_classes_of_any_width(kind: type) -> None:
    """200 classes in eight bits: row times width would overflow."""
    classes = np.arange(200).astype(kind)
    found = evaluation.evaluate(np.eye(200)[::-1], classes, tuple(map(str, range(200))))
    assert (found.top1, len(found.confused)) == (0, 200) and found.confused[0].classes == (0, 199)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers(broken: float) -> None:
    logits = np.zeros((4, 3))
    logits[2, 1] = broken
    with pytest.raises(BadInput, match="logits with NaN or infinity: 1 of 4 images"):
        evaluation.evaluate(logits, np.zeros(4, int), ("a", "b", "c"))


def test_huge_logits_do_not_overflow() -> None:
    found = evaluation.evaluate(np.array([[3e4, -3e4]], np.float32), np.array([1]), ("a", "b"))
    assert found.loss == pytest.approx(6e4) and found.ece == pytest.approx(1)


def test_the_record_reads_back_equal(answers: tuple[np.ndarray, np.ndarray]) -> None:
    found = evaluation.evaluate(*answers, LABELS)
    assert record.decode(record.encode(record.builtins(found)), EvalResult) == found
