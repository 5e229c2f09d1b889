"""What run and diff say, and the code that they leave with; the example for GitHub Actions asks for what exists."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from edgevit import pipeline, record
from edgevit.cli import road, road_figures
from edgevit.cli.app import app
from edgevit.types import (
    Artifact,
    Bench,
    BenchRules,
    DeviceFacts,
    Held,
    Latency,
    Outcome,
    Reused,
    Road,
    RoadDevice,
    RunRecord,
)

ROOT = Path(__file__).parents[2]
MADE = Artifact("executorch", "int8", Outcome.PASS, file="model.pte", bytes=6_000_000)
PI = "ssh://pi"
LATENCY = Latency("runs/artifacts/executorch-int8", "host", 30.0, 31.2, 33.0, 100, device=PI)
GOOD = Held("executorch-int8", "", "", "size_mb", 8.0, 6.0, True)
BROKEN = Held("executorch-int8", PI, "cpu", "p90_ms", 30.0, 31.2, False)
RUN = RunRecord(
    Road(("executorch",), ("int8",), devices=(RoadDevice(PI),)), "run", "weights", (MADE,),
    (Bench(DeviceFacts(PI), BenchRules(), (LATENCY,)),), (GOOD,), (), "2026-01-02", 3.0, "a machine", {}, "",
)  # fmt: skip
Go = Callable[..., tuple[int, str, str]]


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Go:
    """`edgevit run` that comes to the given record: the exit code, and what stands on stdout and stderr."""
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(found: RunRecord, **options: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(pipeline, "read_road", lambda file: found.road)
        monkeypatch.setattr(pipeline, "run", lambda asked, out, how: found)
        given = {"file": Path("edgevit.toml"), "out": tmp_path, "force_bench": False, "jobs": None, "no_cache": False}
        return _left(lambda: road.run(**{**given, "example_": False, "json": False, **options}), capsys)

    return run


def _left(call: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = 0
    try:
        call()
    except typer.Exit as left:
        code = left.exit_code
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_run_in_which_all_held(go: Go) -> None:
    code, out, _ = go(RUN)
    assert code == 0 and "6 of 8" in out and "!" not in out and "not measured" not in out


def test_each_broken_limit_is_a_line_and_the_code_is_1(go: Go) -> None:
    lost = dataclasses.replace(BROKEN, figure="peak_mb", value=None, reason="connection refused")
    code, out, _ = go(dataclasses.replace(RUN, held=(GOOD, BROKEN, lost)))
    lines = out.splitlines()
    assert code == 1 and "executorch-int8 on ssh://pi: p90 31.2 ms, limit 30" in lines
    assert "executorch-int8 on ssh://pi: peak memory not measured: connection refused, limit 30" in lines
    assert "31.2 of 30!" in out and "none of 30!" in out


def test_an_artifact_that_failed_is_a_line_too(go: Go) -> None:
    failed = dataclasses.replace(MADE, outcome=Outcome.CONVERT_FAILED, reason="out of memory")
    code, out, _ = go(dataclasses.replace(RUN, artifacts=(failed,)))
    assert code == 1 and "executorch-int8: CONVERT_FAILED: out of memory" in out.splitlines()


def test_json_is_the_record_and_the_lines_go_elsewhere(go: Go) -> None:
    code, out, err = go(dataclasses.replace(RUN, held=(BROKEN,)), json=True)
    found = json.loads(out)
    assert code == 1 and found["passed"] is False and found["broken"] == ["executorch-int8 on ssh://pi: p90 31.2 ms, limit 30"]
    assert found["broken"][0] in err.splitlines() and found["benches"][0]["latencies"][0]["p90_ms"] == 31.2


def test_what_was_reused_is_said_with_its_day(go: Go) -> None:
    reused = (Reused("executorch-int8", "2026-01-01T10:00:00"), Reused("executorch-int8 on ssh://pi", "2026-01-01T10:05:00"))
    _, out, err = go(dataclasses.replace(RUN, reused=reused))
    assert "2026-01-01T10:05" in out
    assert "unchanged, and not done again (2 of 2026-01-01): executorch-int8, executorch-int8 on ssh://pi" in err


def test_the_example_is_toml_alone(go: Go) -> None:
    code, out, err = go(RUN, example_=True)
    assert code == 0 and err == "" and tomllib.loads(out)["limits"]["outside"] == 0


def _diff(before: RunRecord, after: RunRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str], **options: bool) -> Any:
    paths = [tmp_path / "1.json", tmp_path / "2.json"]
    for path, run in zip(paths, (before, after), strict=True):
        record.write(path, run)
    return _left(lambda: road.diff(*paths, **{"everything": False, "json": False, **options}), capsys)


def test_diff_says_what_got_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    larger = dataclasses.replace(RUN, artifacts=(dataclasses.replace(MADE, bytes=6_600_000),))
    code, out, _ = _diff(RUN, larger, tmp_path, capsys)
    assert code == 1 and "+0.6 MB (+10.0 %)" in out and "worse" in out and "p90" not in out
    assert _diff(larger, RUN, tmp_path, capsys)[0] == 0
    code, out, _ = _diff(RUN, RUN, tmp_path, capsys, everything=True)
    assert code == 0 and "p90" in out
    code, out, _ = _diff(RUN, larger, tmp_path, capsys, json=True)
    assert code == 1 and json.loads(out)["worse"] is True


def test_diff_of_what_is_no_run(run_cli: Any, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    for path, words in ((tmp_path / "gone", "no run in"), (tmp_path / "run.json", "run.json: ")):
        ran = run_cli("diff", path, path)
        assert ran.returncode == 2 and words in ran.stderr and "Traceback" not in ran.stderr


def test_a_difference_in_points() -> None:
    from edgevit.types import Change, Diff, Verdict

    change = Change("tflite-int8", "", "", "top1", 0.80, 0.79, Verdict.WORSE, "McNemar, exact")
    (row,) = road_figures.diff_rows(Diff("1", "2", (change,)), False)
    assert row == ["tflite-int8", "file", "top1", "80", "79", "-1 points", "worse", "McNemar, exact"]


# The example for GitHub Actions.

STEPS = yaml.safe_load((ROOT / "docs/examples/edgevit.yml").read_text())["jobs"]["road"]["steps"]


def _lines() -> list[str]:
    return [line.strip() for step in STEPS for line in step.get("run", "").splitlines()]


def test_its_edgevit_commands_exist() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    asked = [shlex.split(line)[1:] for line in _lines() if re.match(r"\S*edgevit ", line)]
    assert {words[0] for words in asked} == {"run", "diff"}
    for command, *words in asked:
        options = {option for parameter in commands[command].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_it_has_the_steps_of_the_road() -> None:
    used = [step["uses"].partition("@")[0] for step in STEPS if "uses" in step]
    assert used[:2] == ["actions/checkout", "actions/setup-python"] and "actions/upload-artifact" in used
    assert next(s for s in STEPS if s.get("uses", "").startswith("actions/setup-python"))["with"]["python-version"] == "3.11"
    (made,) = [line.split()[1] for line in _lines() if line.startswith("make ")]
    torch = re.search(r"^TORCH \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert torch and made == f".venv/installed-torch-{torch[1]}"


def test_every_command_of_the_guide_exists() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for line in (ROOT / "docs/ci.md").read_text().splitlines() if line.startswith("    edgevit ")]
    assert lines and {line.split()[1] for line in lines} <= set(commands)
