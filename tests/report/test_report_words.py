"""How figures are written: none that misleads, none that is blank."""

from __future__ import annotations

import pytest

from edgevit.report import words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.972, "97.2 %"),
        (1.0, "100.0 %"),
        (0.0, "0.0 %"),
        (0.9999, "> 99.9 %"),
        (0.9994, "99.9 %"),
        (0.0001, "< 0.1 %"),
        (float("nan"), "not finite"),
    ],
)
def test_a_share_never_reads_as_all_or_nothing_unless_it_is(share: float, text: str) -> None:
    assert words.percent(share) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (-0.0028, "\N{MINUS SIGN}0.28 points"),
        (0.01, "+1.00 points"),
        (0.0, "no change"),
        (-0.00001, "< 0.01 points"),
        (float("inf"), "not finite"),
    ],
)
def test_a_change_has_a_sign_and_points(change: float, text: str) -> None:
    assert words.points(change) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (410_000, "0.41 MB"),
        (22_900_000, "22.9 MB"),
        (346_000_000, "346 MB"),
        (1_230_000_000, "1.23 GB"),
        (900, "0.9 kB"),
    ],
)
def test_a_size_is_in_millions_of_bytes(count: int, text: str) -> None:
    assert words.size(count) == text


def test_milliseconds_keep_three_digits_and_say_what_is_missing() -> None:
    assert words.milliseconds((7.1, 12.34, 123.4)) == "7.10 / 12.3 / 123 ms"
    assert words.milliseconds((7.1, None)) == "7.10 / not measured ms"


@pytest.mark.parametrize(("error", "text"), [(0.0102, "0.010"), (1.3e-6, "1.3e-06"), (0.0, "0"), (float("nan"), "not finite")])
def test_a_relative_error_has_two_digits(error: float, text: str) -> None:
    assert words.relative(error) == text


def test_counts_and_lists_read_as_english() -> None:
    assert (words.counted(1, "thread"), words.counted(1000, "image")) == ("1 thread", "1,000 images")
    assert (words.listed("a"), words.listed("ab"), words.listed("abc")) == ("a", "a and b", "a, b and c")
    assert (words.parameters(5_717_416), words.parameters(900)) == ("5.72 M (5,717,416)", "900")


def test_what_is_missing_always_has_a_reason() -> None:
    assert words.missing("no phone here") == "not measured: no phone here"
    assert words.missing(" ") == "not measured: no reason was recorded"


def test_text_from_outside_stays_on_one_line_and_cannot_hide() -> None:
    assert words.plain("a\n b\tc") == "a b c"
    assert words.plain("a\x00\x1b[31mb\u202ec") == "a\ufffd\ufffd[31mb\ufffdc"
    assert words.plain("क्‍ष 👩‍🔬") == "क्‍ष 👩‍🔬"
