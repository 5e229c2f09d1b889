"""The main table: every cell says a figure and its origin, or why there is none."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgevit.report import table
from edgevit.types import Artifact, Delegation, Latency, Outcome, Report


def cells(report: Report, number: int) -> dict[str, list[str]]:
    row = table.rows(report)[number]
    return {cell.column: [line.text for line in cell.lines] for cell in row.cells}


def test_a_measured_artifact(report: Report) -> None:
    found = cells(report, 1)
    assert found["Size"] == ["0.43 MB"]
    assert found[table.TOP1] == ["97.0 %", "\N{MINUS SIGN}0.20 points", "95.7 % to 97.9 %"]
    assert found["Agreement"] == ["99.2 %", "of 1,000 images"]
    assert found["Relative error"] == ["0.017"]
    assert found["Accuracy computed by"] == ["this machine (host)", "executorch runtime 1.0"]
    assert found["Delegation"] == ["1 subgraph", "310 nodes inside", "2 outside"]
    assert found["Same integers"] == ["yes"]
    assert found[table.LATENCY] == [
        "4.41 / 4.91 / 6.41 ms",
        "this machine (host), CPU",
        "2 threads, 200 runs",
    ]


def test_an_evaluator_is_never_called_the_host(report: Report) -> None:
    found = cells(report, 4)
    assert found["Accuracy computed by"][0] == "reference evaluator"
    assert found[table.LATENCY] == ["not measured: Core ML does not run on Linux"]
    assert found["Delegation"] == ["not counted: the device decides"]
    assert "host" not in str(found)


def test_nodes_that_were_counted_without_the_back_end_say_so(report: Report) -> None:
    by_rules = [replace(a, delegation=Delegation(None, 300, 2, "by rules: gather one looks up")) for a in report.artifacts]
    found = cells(replace(report, artifacts=tuple(by_rules)), 1)
    assert found["Delegation"] == ["by rules: gather one looks up", "300 nodes inside", "2 outside"]


def test_a_latency_of_another_host_is_not_this_machines(report: Report) -> None:
    elsewhere = replace(report.latencies[0], machine="A server")
    found = cells(replace(report, latencies=(elsewhere,)), 0)
    assert found[table.LATENCY][1] == "A server (host), CPU"


def test_host_and_device_stand_apart_in_one_cell(report: Report) -> None:
    phone = Latency("executorch-fp32", "device", 20.0, 21.0, 22.0, 50, 5, 1, "Some phone")
    found = cells(replace(report, latencies=(*report.latencies, phone)), 0)[table.LATENCY]
    assert found[:2] == ["8.12 / 8.62 / 10.1 ms", "this machine (host), CPU"]
    assert found[3:5] == ["20.0 / 21.0 / 22.0 ms", "Some phone (device), CPU"]


def test_what_was_skipped_says_so_once(report: Report) -> None:
    assert table.rows(report)[5].blank == "not measured: skipped"
    assert table.rows(report)[4].blank == ""


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("where", ["none", "host"])
def test_no_cell_is_ever_blank(report: Report, outcome: Outcome, where: str) -> None:
    bare = replace(report, artifacts=(Artifact("litert", "int8", outcome, where=where),), latencies=())
    for column, lines in cells(bare, 0).items():
        assert lines, column
        assert all(re.match(r"not (measured|counted|compared): \w", line) for line in lines), (column, lines)


def test_an_unknown_change_says_why(report: Report) -> None:
    alone = replace(report.artifacts[0], reference_top1=None)
    found = cells(replace(report, artifacts=(alone,)), 0)
    assert found[table.TOP1][1] == "change not measured: the checkpoint was not run on these images"


def test_float_weights_have_no_integers_to_compare(report: Report) -> None:
    assert cells(report, 0)["Same integers"] == ["not compared: float weights"]
    assert cells(report, 3)["Same integers"] == ["no"]
