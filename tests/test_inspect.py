"""edgevit inspect: any model file as a table, JSON and a picture; and damaged files end in one error, never in a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from edgevit import stage
from edgevit.errors import TookTooLong

ROOT = Path(__file__).parents[1]
RunCli = Callable[..., subprocess.CompletedProcess[str]]


def test_table_json_and_picture(artifact: Path, run_cli: RunCli, tmp_path: Path) -> None:
    picture = tmp_path / "new" / "bytes.png"
    ran = run_cli("inspect", artifact, "--json", "--picture", picture)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["bytes"] == Path(found["file"]).stat().st_size and found["format"] == "TFLite"
    assert found["delegates"][0]["name"] == "XNNPACK" and {o["by"] for o in found["operators"]} == {"XNNPACK"}
    assert found["delegates"][0]["nodes"] == sum(o["count"] for o in found["operators"])
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.width > 600
    before = picture.read_bytes()
    ran = run_cli("inspect", artifact, "--picture", picture)
    assert ran.returncode == 2 and "already exists" in ran.stderr and picture.read_bytes() == before
    ran = run_cli("inspect", next(artifact.glob("model.*")), "--picture", picture, "--dark", "--force")
    assert ran.returncode == 0 and picture.read_bytes() != before and [p.name for p in picture.parent.iterdir()] == ["bytes.png"]
    for words in ("Inputs and outputs", "FULLY_CONNECTED", "XNNPACK", "block 0 attention", "embedding", "head", "Metadata", "█"):
        assert words in ran.stdout, words


@pytest.mark.parametrize("name", ["bytes.jpg", ".", "there/is/a/file/bytes.png"])
def test_pictures_that_cannot_be(name: str, artifact: Path, run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    ran = run_cli("inspect", artifact, "--picture", tmp_path / name)
    assert ran.returncode == 2 and ran.stderr.count("error:") == 1 and "Traceback" not in ran.stderr, ran.stderr


@pytest.mark.parametrize("file", ["../elsewhere.tflite", "/etc/passwd", ".", "", "model.pte"])
def test_an_artifact_that_names_another_file(file: str, artifact: Path, run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "artifact.json").write_text(json.dumps({"file": file}))
    ran = run_cli("inspect", tmp_path / "artifact")
    assert ran.returncode == 2 and ran.stderr.count("error:") == 1 and "Traceback" not in ran.stderr, ran.stderr


def test_a_file_that_litert_does_not_take_is_shown_with_a_note(artifact: Path, run_cli: RunCli, tmp_path: Path) -> None:
    """The schema says the shape of the input, and the interpreter alone finds that nothing fits it."""
    from ai_edge_litert.tools import flatbuffer_utils as utils

    model = utils.read_model(str(next(artifact.glob("model.*"))))
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = [1, 1, 1, 3]
    utils.write_model(model, str(tmp_path / "model.tflite"))
    ran = run_cli("inspect", tmp_path / "model.tflite", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["delegates"] == [] and any("not known what runs on a delegate" in note for note in found["notes"])


def test_larger_than_any_disk(artifact: Path, run_cli: RunCli, tmp_path: Path) -> None:
    path = Path(shutil.copy(next(artifact.glob("model.*")), tmp_path))
    os.truncate(path, 1 << 40)
    ran = run_cli("inspect", path, timeout=100)
    assert ran.returncode == 2 and ran.stderr.count("error:") == 1 and "Traceback" not in ran.stderr, ran.stderr


@pytest.mark.parametrize("how", ["python", "native"])
def test_a_stage_ends_at_its_limit(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "sabotage"))
    started = time.monotonic()
    with pytest.raises(TookTooLong, match="sleep was not done after 3 seconds"):
        stage.run_within(3, "stage_jobs:sleep", type(None), flag=tmp_path / "flag", how=how)
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "flag").read_text()), 0)


def test_a_stage_that_is_done_in_time_knows_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "sabotage"))
    assert stage.run_within(60, "stage_jobs:number", float, value=2.5).value == 2.5


def test_memory_that_a_file_may_ask_for_is_limited() -> None:
    code = "from edgevit import memory; memory.hold_to(1 << 30); bytearray(2 << 30)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "MemoryError" in ran.stderr, ran.stderr
