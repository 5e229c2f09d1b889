"""`export --explain` shows each rewrite with its proof, and says loudly which one is not the same function."""

from __future__ import annotations

from edgevit.cli import figures
from edgevit.types import Artifact, Outcome, Rewritten

EXACT = Rewritten("in other words", "words", "they mean the same", True, 3, 2e-16, 4e-7)
OTHER = Rewritten("nearly", "the function", "it is cheaper", False, 1, 1e-3, 2e-3)
ARTIFACT = Artifact("tflite", "fp32", Outcome.PASS, rewrites=(EXACT, OTHER))


def test_rows_are_in_the_order_of_the_rewrites_with_their_proofs() -> None:
    assert figures.rewrite_rows(ARTIFACT) == [
        ["in other words", "3", "2e-16", "4e-07", "words"],
        ["nearly", "1", "1e-03", "2e-03", "the function"],
    ]


def test_a_reason_is_given_once_and_an_inexact_rewrite_is_named_as_one() -> None:
    assert figures.rewrite_notes([ARTIFACT, ARTIFACT]) == [
        "in other words: they mean the same",
        "nearly: NOT the same function: it is cheaper",
        "edgevit gains ARTIFACT measures what each of them gives on this machine",
    ]
    assert figures.rewrite_notes([]) == []
