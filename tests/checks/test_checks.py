"""A check passes what agrees, fails what does not, and says which bound was broken."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevit.checks.accuracy import compare, relative_error
from edgevit.checks.integers import absent
from edgevit.checks.statistics import allowed, change, mcnemar, visible
from edgevit.types import Outcome, Tolerance

TOLERANCE = Tolerance(relative_error=0.1, drop=0.005, agreement=0.99)


def _logits(answers: np.ndarray) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[answers]


@pytest.fixture
def classes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 10, 1000)


def test_equal_answers_pass(classes: np.ndarray) -> None:
    result = compare(_logits(classes), _logits(classes), classes, 0.01, TOLERANCE, "host")
    assert (result.outcome, result.top1, result.agreement, result.images) == (Outcome.PASS, 1.0, 1.0, 1000)


def test_lost_accuracy_fails(classes: np.ndarray) -> None:
    worse = classes.copy()
    worse[:6] = (worse[:6] + 1) % 10
    result = compare(_logits(worse), _logits(classes), classes, 0.01, TOLERANCE, "host")
    assert result.outcome is Outcome.WRONG_ANSWERS
    assert "top-1 0.60 points lower, allowed 0.5" in result.reason


def test_five_of_a_thousand_is_within_half_a_point(classes: np.ndarray) -> None:
    worse = classes.copy()
    worse[:5] = (worse[:5] + 1) % 10
    assert compare(_logits(worse), _logits(classes), classes, 0.01, TOLERANCE, "host").outcome is Outcome.PASS


def test_other_answers_fail_even_at_equal_accuracy(classes: np.ndarray) -> None:
    wrong_one, wrong_other = (classes + 1) % 10, (classes + 2) % 10
    result = compare(_logits(wrong_other), _logits(wrong_one), classes, 0.01, TOLERANCE, "host")
    assert result.outcome is Outcome.WRONG_ANSWERS and "1000 of 1000 answers differ, allowed 10" in result.reason


@pytest.mark.parametrize("error", [0.11, float("inf"), float("nan")])
def test_far_logits_fail(classes: np.ndarray, error: float) -> None:
    result = compare(_logits(classes), _logits(classes), classes, error, TOLERANCE, "host")
    assert result.outcome is Outcome.WRONG_ANSWERS and "relative error" in result.reason


def test_relative_error() -> None:
    reference = np.array([[3.0, 4.0]], np.float32)
    assert relative_error(reference + np.array([[0.5, 0.0]]), reference) == pytest.approx(0.1)
    assert math.isinf(relative_error(np.array([[np.nan, 1.0]]), reference))


def test_a_small_set_may_differ_in_one_image_and_no_more() -> None:
    assert [allowed(0.01, n) for n in (1, 2, 50, 199, 200, 10_000)] == [0, 1, 1, 1, 2, 100]


def test_integers_are_found_whole_or_cut_in_three(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).integers(-127, 128, (6, 64), np.int8)
    file = tmp_path / "model.bin"
    file.write_bytes(b"head" + matrix.tobytes() + b"tail")
    assert absent(file, {"integers8/fc1": matrix}, 1.0) == []
    q, k, v = np.split(matrix, 3)
    file.write_bytes(v.tobytes() + b"-" + q.tobytes() + b"-" + k.tobytes())
    assert absent(tmp_path, {"integers8/qkv": matrix}, 1.0) == []
    changed = matrix.copy()
    changed[5, 63] ^= 1
    assert absent(file, {"integers8/qkv": changed, "integers8/1.qkv": matrix}, 1.0) == ["qkv"]
    assert absent(file, {"integers8/fc1": matrix}, 1.0) == ["fc1"], "nothing else is cut"


def test_an_image_without_numbers_is_a_wrong_answer_whatever_its_class(classes: np.ndarray) -> None:
    """The first class is what argmax would make of it, and may be the right one."""
    logits = _logits(classes)
    logits[np.flatnonzero(classes == 0)[:3], 5] = np.nan
    logits[np.flatnonzero(classes == 9)[0]] = np.inf
    result = compare(logits, _logits(classes), classes, 0.0, TOLERANCE, "host")
    assert result.outcome is Outcome.WRONG_ANSWERS and "4 of 1000 images get no numbers" in result.reason
    assert (result.top1, result.agreement) == (0.996, 0.996)
    assert compare(logits, logits, classes, 0.0, TOLERANCE, "host").agreement == 0.996


def test_integers_of_four_bits_are_found_as_each_back_end_packs_them(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).integers(-7, 8, (6, 64), np.int8)
    low_first = [(int(a) & 15) | (int(b) & 15) << 4 for a, b in matrix.reshape(-1, 2)]
    eight_more = [(int(a) + 8) | (int(b) + 8) << 4 for a, b in matrix.reshape(-1, 2)]
    for name, content in (("signed", low_first), ("offset", eight_more)):
        (tmp_path / name).write_bytes(b"before" + bytes(content) + b"behind")
        assert absent(tmp_path / name, {"integers8/fc1": matrix}, 1.0) == []
        changed = matrix.copy()
        changed[5, 63] = -changed[5, 63] or 1
        assert absent(tmp_path / name, {"integers4/fc1": changed}, 1.0) == ["fc1"]


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_scales_are_found_as_each_back_end_holds_them(kind: str, tmp_path: Path) -> None:
    """Eight significant bits, which all three hold; q's times a factor, where the matrix was cut."""
    scales = np.arange(129, 141, dtype=np.float32).reshape(6, 2) / 4096

    def stored(x: np.ndarray) -> bytes:
        return _half(x) if kind == "bfloat16" else x.astype(kind).tobytes()

    file = tmp_path / "model.bin"
    file.write_bytes(b"before" + stored(scales) + b"behind")
    assert absent(file, {"scale/fc1": scales}, 0.125) == []
    q, k, v = np.split(scales, 3)
    file.write_bytes(stored(q * np.float32(0.125)) + b"-" + stored(k) + b"-" + stored(v))
    assert absent(file, {"scale/qkv": scales}, 0.125) == []
    assert absent(file, {"scale/qkv": scales}, 0.25) == ["the scales of qkv"]
    other = scales.copy()
    other[5, 1] *= 1.0625
    assert absent(file, {"scale/qkv": other}, 0.125) == ["the scales of qkv"]


def test_scales_that_a_format_rounds_are_found_as_it_rounds_them(tmp_path: Path) -> None:
    """q's, where 1 / sqrt(head width) is no power of two."""
    scales = np.random.default_rng(0).random((6, 4), np.float32)
    for kind in (torch.bfloat16, torch.float16):
        (tmp_path / "model.bin").write_bytes(torch.from_numpy(scales).to(kind).view(torch.int16).numpy().tobytes())
        assert absent(tmp_path, {"scale/fc1": scales}, 1.0) == []
        assert absent(tmp_path, {"scale/fc1": scales * np.float32(1.01)}, 1.0) == ["the scales of fc1"]


def test_scales_that_are_nothing_in_a_format_are_not_found_among_its_noughts(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(64))
    assert absent(tmp_path, {"scale/head": np.full((6, 1), 1e-30, np.float32)}, 1.0) == ["the scales of head"]


def _half(x: np.ndarray) -> bytes:
    return b"".join(number.tobytes()[2:] for number in x.reshape(-1))


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_palettes_are_found_by_their_places_among_the_values_that_there_are(bits: int, tmp_path: Path) -> None:
    places = np.random.default_rng(0).integers(0, 2**bits, (6, 128), np.uint8)
    places[places == 3] = 2  # a colour that nobody has is not stored
    stored = {"places/fc1": places, "colours/fc1": np.linspace(-1, 1, 2**bits, dtype=np.float32)}
    used = np.searchsorted(np.unique(places), places).reshape(-1)
    number = sum(int(place) << bits * i for i, place in enumerate(used))
    file = tmp_path / "model.bin"
    file.write_bytes(b"before" + number.to_bytes(len(used) * bits // 8, "little") + b"behind")
    assert absent(file, stored, 1.0) == []
    other = places.copy()
    other[5, 127] ^= 1
    assert absent(file, {**stored, "places/fc1": other}, 1.0) == ["the palette of fc1"]


def test_mcnemar_is_the_binomial_test() -> None:
    """Values of scipy.stats.binomtest(lost, lost + won)."""
    scipy = pytest.importorskip("scipy.stats")
    for lost, won in ((0, 0), (5, 0), (6, 0), (3, 9), (12, 11), (40, 15)):
        expected = scipy.binomtest(lost, lost + won).pvalue if lost + won else 1.0
        assert mcnemar(lost, won) == pytest.approx(expected)
        assert mcnemar(won, lost) == mcnemar(lost, won)


def test_the_interval_of_a_paired_change_is_newcombes() -> None:
    """The example of Newcombe 1998, Statistics in Medicine 17, 2635, by method 10: his difference is the other way round."""
    assert change(both=36, lost=2, won=12, neither=0) == (pytest.approx(0.0569, abs=1e-4), pytest.approx(0.3404, abs=1e-4))
    assert change(both=36, lost=12, won=2, neither=0) == (pytest.approx(-0.3404, abs=1e-4), pytest.approx(-0.0569, abs=1e-4))


def test_what_a_set_can_show() -> None:
    assert visible(0, 0, 1000) == 0.006, "six against none: 2 / 2^6 is under 5 %"
    assert visible(20, 20, 1000) > visible(3, 3, 1000) >= 0.006
    assert visible(0, 0, 5) == 1.0


def test_the_least_visible_change_is_the_least() -> None:
    """Whatever parts: one image less would not show, and this many do. A file that is all wrong is told in a moment."""
    for parting in (*range(40), 100, 999, 9000):
        net = round(visible(parting, 0, 20_000) * 20_000)

        def p(net: int, parting: int = parting) -> float:
            whole = max(parting, net)
            whole += (whole + net) % 2
            return mcnemar((whole + net) // 2, (whole - net) // 2)

        assert p(net) < 0.05 and all(p(less) >= 0.05 for less in range(1, net)[-5 if parting > 999 else 0 :])


def test_lost_and_won_answers_are_told_apart(classes: np.ndarray) -> None:
    ours, theirs = classes.copy(), classes.copy()
    ours[:7] = (classes[:7] + 1) % 10  # lost
    theirs[7:9] = (classes[7:9] + 1) % 10  # won
    both = slice(9, 12)
    ours[both], theirs[both] = (classes[both] + 1) % 10, (classes[both] + 2) % 10  # wrong, each in its way
    found = compare(_logits(ours), _logits(theirs), classes, 0.01, TOLERANCE, "host", [f"class {i}" for i in range(10)]).paired
    assert found and (found.lost, found.won, found.p) == (7, 2, mcnemar(7, 2))
    assert found.low < -0.005 < found.high and found.top5 is not None
    assert sum(d.lost for d in found.damage) == 7 and sum(d.won for d in found.damage) == 2
    first = found.damage[0]
    assert first.label.startswith("class ") and first.images == int((classes == int(first.label[6:])).sum())
    assert [d.won - d.lost for d in found.damage] == sorted(d.won - d.lost for d in found.damage)
