"""The published schema: what the nouns give, what reports keep to, and that it refuses what is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from edgevit import record
from edgevit.cli import bench  # noqa: F401  (it registers its commands)
from edgevit.cli.app import app
from edgevit.errors import DamagedFile
from edgevit.report import files, schema
from edgevit.types import Report


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    found = json.loads(schema.published())
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def record_of(report: Report, into: Path) -> dict[str, Any]:
    """As `write` writes it, without the pages beside it."""
    record.write(into / "report.json", files.portable(report))
    return json.loads((into / "report.json").read_text())  # type: ignore[no-any-return]


def test_the_published_schema_is_that_of_the_nouns() -> None:
    """Where this fails a noun has changed: write `schema.generated()` to the file, and look whether its version must grow."""
    assert schema.published() == schema.generated()


def test_a_report_keeps_to_it(report: Report, benched: Report, checker: jsonschema.Draft202012Validator, tmp_path: Path) -> None:
    for one in (report, benched):
        found = record_of(one, tmp_path)
        assert next(iter(found)) == "schema" and found["schema"] == "edgevit-report/1"
        assert list(checker.iter_errors(found)) == []


def _without_schema(found: dict[str, Any]) -> None:
    del found["schema"]


def _of_another_version(found: dict[str, Any]) -> None:
    found["schema"] = "edgevit-report/2"


def _with_text_for_a_figure(found: dict[str, Any]) -> None:
    found["latencies"][0]["p50_ms"] = "4 ms"


def _with_an_unknown_unit(found: dict[str, Any]) -> None:
    found["latencies"][0]["unit"] = "dsp"


def _with_a_launch_without_conditions_in_time(found: dict[str, Any]) -> None:
    del found["latencies"][0]["launches"][0]["before"]["seconds"]


def _with_three_sides(found: dict[str, Any]) -> None:
    found["checkpoint"]["config"]["image_size"].append(3)


@pytest.mark.parametrize(
    "change",
    [
        _without_schema,
        _of_another_version,
        _with_text_for_a_figure,
        _with_an_unknown_unit,
        _with_a_launch_without_conditions_in_time,
        _with_three_sides,
    ],
)
def test_what_is_no_report_is_refused(
    benched: Report, checker: jsonschema.Draft202012Validator, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    found = record_of(benched, tmp_path)
    change(found)
    assert len(list(checker.iter_errors(found))) == 1


def test_a_report_of_another_version_is_not_read(report: Report, tmp_path: Path) -> None:
    found = record_of(report, tmp_path)
    (tmp_path / "report.json").write_text(json.dumps({**found, "schema": "edgevit-report/2"}))
    with pytest.raises(DamagedFile, match="schema"):
        record.read(tmp_path / "report.json", Report)


def test_a_field_more_is_no_other_version(report: Report, checker: jsonschema.Draft202012Validator, tmp_path: Path) -> None:
    assert checker.is_valid({**record_of(report, tmp_path), "new": 1})


def test_every_noun_in_it_says_what_it_is() -> None:
    found = json.loads(schema.published())["$defs"]
    assert {"Report", "Latency", "Launch", "Artifact", "DeviceFacts", "BenchRules"} <= set(found)
    made_by_python = [name for name, one in found.items() if one["description"].startswith(f"{name}(")]
    assert made_by_python == []


def test_the_command_prints_it_and_asks_for_nothing_else() -> None:
    done = CliRunner().invoke(app, ["report", "--schema"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(schema.published())
