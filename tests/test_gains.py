"""What each rewrite gives: the same file without it, launched in turn with the one that has all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import targets
from converters.order import Order
from converters.rewrite.rewriting import Rewrite
from edgevit.bench.protocol import Run
from edgevit.cli import figures
from edgevit.errors import BadInput
from edgevit.jobs import gains as job
from edgevit.pipeline import gaining as room
from edgevit.types import (
    Artifact,
    BenchRules,
    Delegation,
    Gain,
    Gains,
    Input,
    Launch,
    Model,
    Outcome,
    Preprocess,
    Rewritten,
    Unit,
    silent,
)
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize import get

WHOLE = Delegation(1, 90, 1)


def test_an_order_leaves_the_named_rewrite_out_and_no_other() -> None:
    wanted = tuple(Rewrite(name, "", "", lambda model: 0) for name in ("first", "second", "third"))
    order = Order(ViT(config("Pico/8", (16, 16), 3)), get("fp32"), torch.zeros(1, 3, 16, 16), Preprocess((16, 16), (16, 16)))
    assert order.rewrites(wanted) == wanted
    left = dataclasses.replace(order, without="second")
    assert [rewrite.name for rewrite in left.rewrites(wanted)] == ["first", "third"]
    pixels = dataclasses.replace(left, input=Input.PIXELS)
    assert len(pixels.rewrites(wanted)) == 3, "the one that normalises pixels inside is never left out"


def _run(*centres: float, fault: str = "") -> Run:
    launches = [Launch(times_ms=(centre,) * 3, runs=3) for centre in centres]
    return Run(
        Model("", Path("model.pte"), "", "executorch", Input.TENSOR, Preprocess((8, 8), (8, 8))), Unit.CPU, launches, fault
    )


def test_times_of_one_round_are_divided() -> None:
    """A machine that is twice as slow from the fourth round on is so for both: the medians alone would say 1.6."""
    whole = _run(2.0, 2.0, 2.0, 4.0, 4.0, 4.0, 4.0)
    gain = job._gain(Gain("x", delegation=WHOLE), _run(2.4, 2.4, 2.6, 4.8, 4.8, 5.2, 4.4), whole)
    assert (gain.ratio, gain.low, gain.high) == pytest.approx((1.2, 1.1, 1.3)) and gain.delegation == WHOLE


@pytest.mark.parametrize(("mine", "its", "words"), [("hung", "", "hung"), ("", "gone", "the artifact itself: gone")])
def test_a_file_that_broke_has_no_time(mine: str, its: str, words: str) -> None:
    gain = job._gain(Gain("x"), _run(2.0, fault=mine), _run(2.0, 2.0, fault=its))
    assert gain.ratio is None and gain.reason == words


def test_the_table_says_what_cannot_be_told_and_what_was_not_measured() -> None:
    found = Gains(
        "executorch-int8", 3.694, WHOLE,
        (
            Gain("small", 1.01, 0.99, 1.03, WHOLE), Gain("attention", 1.98, 1.9, 2.0, Delegation(25, 80, 229)),
            Gain("answers", reason="cannot be left out: others build on it"),
        ),
        2, 10, "a machine",
    )  # fmt: skip
    assert figures.gain_rows(found) == [
        ["attention", "1.980", "1.900 to 2.000", "25 subgraphs, 229 outside"],
        ["small", "1.010", "0.990 to 1.030", "1 subgraph, 1 outside"],
        ["answers", "", "", "not measured"],
    ]
    with_all, left, unsure, where = figures.gain_notes(found)
    assert with_all == "with all: 3.69 ms, 1 subgraph, 1 outside; 10 launches of each in turn, 2 threads"
    assert left == "answers: cannot be left out: others build on it" and unsure == "cannot be told from no gain here: small"
    assert where == "on a machine: the host's times, and no phone's"
    gone = dataclasses.replace(found, p50_ms=None, reason="killed")
    assert figures.gain_notes(gone) == ["executorch-int8 could not be measured: killed"]


Made = Callable[..., Artifact]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """What stands in the record of the artifact that is asked about."""

    def record(target: str = "tflite", outcome: Outcome = Outcome.PASS, rewrites: tuple[Rewritten, ...] = ()) -> Artifact:
        found = Artifact(target, "fp32", outcome, file="model.tflite", rewrites=rewrites, reason="nothing runs it")
        monkeypatch.setattr(room.artifacts, "read", lambda path: found)
        monkeypatch.setattr(room.artifacts, "verify", lambda artifact: artifact)
        monkeypatch.setattr(room.targets, "require", lambda place: None)
        return found

    return record


def test_what_this_machine_does_not_measure_is_refused(made: Made) -> None:
    for target, outcome, words in (
        ("tflite-gpu", Outcome.PASS, "a phone's GPU is not here"),
        ("executorch-vulkan", Outcome.UNCHECKED, "nothing runs it"),
        ("tflite", Outcome.PASS, "has no rewrites"),
    ):
        made(target, outcome)
        with pytest.raises(BadInput, match=words):
            room.gains(Path("artifact"), None, BenchRules(), silent)


@pytest.mark.slow
@pytest.mark.skipif(bool(targets.missing(targets.get("tflite"))), reason="TFLite's back end is not installed")
def test_gains_of_a_real_file(run_cli: Any, checkpoint: Path, tmp_path: Path) -> None:
    exported = run_cli("export", checkpoint, "--target", "tflite", "--recipe", "int8", "--out", tmp_path / "out", "--json")
    (artifact,) = json.loads(exported.stdout)
    ran = run_cli("gains", artifact["folder"], "--launches", 6, "--runs", 50, "--threads", 1, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert [one["rewrite"] for one in found["gains"]] == [one["name"] for one in artifact["rewrites"]]
    refused = [one for one in found["gains"] if one["reason"]]
    assert [one["rewrite"] for one in refused] == ["LayerNorm spelt out"] and "changed the weights" in refused[0]["reason"]
    measured = [one for one in found["gains"] if not one["reason"]]
    assert measured and all(one["low"] <= one["ratio"] <= one["high"] and one["ratio"] > 0 for one in measured)
