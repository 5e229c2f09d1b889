"""One back end fails and the others go on: absent, broken, crashed, wrong; and a disk that is full in the midst of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import targets
from edgevit import checkpoint as checkpoints

RunCli = Callable[..., subprocess.CompletedProcess[str]]
Sabotage = Callable[..., dict[str, str]]


def _contents(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@dataclass(frozen=True)
class Mishaps:
    """One export in which everything happened: its outcomes by artifact, where it left them, and what lay there before."""

    ran: subprocess.CompletedProcess[str]
    found: dict[str, dict[str, Any]]
    out: Path
    before: dict[str, bytes]


@pytest.fixture(scope="module")
def mishaps(
    run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, artifact: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mishaps:
    """Core ML is not installed, TFLite's converter aborts as it is loaded, ExecuTorch's cannot be imported, and of the target

    `null` the fp32 is well and the fp16 answers with NaN. An artifact lies where TFLite's would go.
    """
    for name in ("tflite", "executorch"):
        if targets.missing(targets.get(name)):
            pytest.skip(f"{name} is not installed")
    out = tmp_path_factory.mktemp("mishaps")
    before = _contents(Path(shutil.copytree(artifact, out / "tflite-fp32")))
    env = sabotage("converters.tflite:import:1:abort", "converters.executorch:import:1:import-error", absent=("coremltools",))
    wanted = [argument for name in ("coreml", "tflite", "executorch", "null") for argument in ("--target", name)]
    ran = run_cli("export", checkpoint, *wanted, "--recipe", "fp32", "--out", out, "--force", "--json", env=env)
    more = run_cli("export", checkpoint, "--target", "null", "--recipe", "fp16", "--out", out, "--json", env=env)
    assert (ran.returncode, more.returncode) == (1, 1), ran.stderr + more.stderr
    found = {f"{a['target']}-{a['recipe']}": a for a in [*json.loads(ran.stdout), *json.loads(more.stdout)]}
    return Mishaps(ran, found, out, before)


def test_every_artifact_has_its_outcome_and_one_is_well(mishaps: Mishaps) -> None:
    assert {name: entry["outcome"] for name, entry in mishaps.found.items()} == {
        "coreml-fp32": "SKIPPED",
        "tflite-fp32": "CONVERT_FAILED",
        "executorch-fp32": "CONVERT_FAILED",
        "null-fp32": "PASS",
        "null-fp16": "WRONG_ANSWERS",
    }
    assert mishaps.ran.returncode == 1 and "Traceback" not in mishaps.ran.stderr


def test_an_absent_back_end_says_the_line_that_installs_it(mishaps: Mishaps) -> None:
    reason = mishaps.found["coreml-fp32"]["reason"]
    assert "coremltools" in reason and "not installed" in reason and reason.endswith("pip install 'edgevit[coreml]'")
    assert not (mishaps.out / "coreml-fp32").exists()


def test_a_crash_names_its_signal_and_its_log(mishaps: Mishaps) -> None:
    entry = mishaps.found["tflite-fp32"]
    log = mishaps.out / ".tflite-fp32.log"
    assert "convert died: SIGABRT" in entry["reason"] and str(log) in entry["reason"] and log.is_file()
    assert entry["file"] is None and entry["top1"] is None and entry["sha256"] is None


def test_a_broken_back_end_is_a_failure_and_not_an_absent_one(mishaps: Mishaps) -> None:
    reason = mishaps.found["executorch-fp32"]["reason"]
    assert "ImportError: libsabotage.so: cannot open shared object file" in reason
    assert "Traceback" in (mishaps.out / ".executorch-fp32.log").read_text()


def test_answers_that_are_no_numbers_are_wrong_and_no_crash(mishaps: Mishaps) -> None:
    entry = mishaps.found["null-fp16"]
    assert "relative error inf" in entry["reason"] and entry["relative_error"] is None and entry["images"] == 6


def test_what_was_there_stays_and_nothing_half_made_is_left(mishaps: Mishaps) -> None:
    assert _contents(mishaps.out / "tflite-fp32") == mishaps.before
    logs = [".executorch-fp32.log", ".tflite-fp32.log"]
    assert sorted(os.listdir(mishaps.out)) == sorted([*logs, "null-fp16", "null-fp32", "tflite-fp32"])


def test_a_wrong_artifact_is_kept_to_be_looked_at(mishaps: Mishaps) -> None:
    assert json.loads((mishaps.out / "null-fp16" / "artifact.json").read_text())["outcome"] == "WRONG_ANSWERS"


STOPS = {
    "QUANTIZE_FAILED": [
        ("quantize.apply:quantized:1:import-error", "ImportError"),
        ("quantize.apply:quantized:1:abort", "SIGABRT"),
    ],
    "CONVERT_FAILED": [("converters.null:halfway:1:import-error", "ImportError"), ("converters.null:halfway:1:abort", "SIGABRT")],
    "LOAD_FAILED": [("targets.null:load:1:import-error", "ImportError"), ("targets.null:load:1:abort", "SIGABRT")],
    "RUN_FAILED": [("targets.null:answered:1:import-error", "ImportError"), ("targets.null:answered:1:abort", "SIGABRT")],
}
"""Each stage that can stop an export, by an error and by a death."""


@pytest.mark.parametrize(("outcome", "mishap", "words"), [(outcome, *stop) for outcome, stops in STOPS.items() for stop in stops])
def test_the_outcome_names_the_stage_that_stopped(
    outcome: str, mishap: str, words: str, run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, tmp_path: Path
) -> None:
    if "quantize" in mishap and targets.missing(targets.get("null") if "null" in targets.NAMES else targets.get("executorch")):
        pytest.skip("torchao is not installed")
    recipe = "int8" if "quantize" in mishap else "fp32"
    arguments = ("export", checkpoint, "--target", "null", "--recipe", recipe, "--out", tmp_path / "out", "--json")
    ran = run_cli(*arguments, env=sabotage(mishap))
    (found,) = json.loads(ran.stdout)
    assert (ran.returncode, found["outcome"]) == (1, outcome) and words in found["reason"], found
    assert os.listdir(tmp_path / "out") == [f".null-{recipe}.log"] and "Traceback" not in ran.stderr


def test_a_model_in_pieces_is_an_outcome(run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, tmp_path: Path) -> None:
    """Also beside another fault: it is said, whatever else is."""
    env = {**sabotage(), "EDGEVIT_TEST_SUBGRAPHS": "62"}
    arguments = ("export", checkpoint, "--target", "null", "--recipe", "fp32", "--recipe", "fp16", "--out", tmp_path, "--json")
    ran = run_cli(*arguments, env=env)
    pieces, wrong = json.loads(ran.stdout)
    assert ran.returncode == 1 and (pieces["outcome"], wrong["outcome"]) == ("UNDELEGATED", "WRONG_ANSWERS")
    assert pieces["reason"] == "62 delegated subgraphs, at most 1" and wrong["reason"].endswith(pieces["reason"])


def test_other_integers_are_wrong_answers(run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, tmp_path: Path) -> None:
    """However right the answers are: also when the artifact is checked again."""
    made = run_cli("export", checkpoint, "--target", "null", "--recipe", "int8", "--out", tmp_path, "--json", env=sabotage())
    again = run_cli("check", tmp_path / "null-int8", "--json", env=sabotage())
    for ran, found in ((made, json.loads(made.stdout)[0]), (again, json.loads(again.stdout))):
        assert (ran.returncode, found["outcome"], found["same_integers"]) == (1, "WRONG_ANSWERS", False)
        assert "34 of 34 matrices, scales and palettes are not the recipe's: " in found["reason"]


def test_figures_say_of_which_images_they_are(run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, tmp_path: Path) -> None:
    """A share of the training images is not that of held-out ones: in the record, the report, and when checked again."""
    arguments = ("export", checkpoint, "--target", "null", "--recipe", "fp32", "--split", "train", "--out", tmp_path, "--json")
    made = run_cli(*arguments, env=sabotage())
    assert made.returncode == 0, made.stderr
    again = run_cli("check", tmp_path / "null-fp32", "--json", env=sabotage())
    for found in (json.loads(made.stdout)[0], json.loads(again.stdout)):
        assert (found["split"], found["images"]) == ("train", 30) and found["machine"]
    reported = run_cli("report", tmp_path / "null-fp32", "--out", tmp_path / "report", "--runs", 50, env=sabotage())
    assert reported.returncode == 0, reported.stderr
    text = (tmp_path / "report" / "report.md").read_text()
    assert "of 30 training images" in text and "held-out images" not in text.partition("## Artifacts")[0].partition("epoch")[0]
    refused = run_cli("report", tmp_path / "null-fp32", "--out", tmp_path / "report", "--runs", 50, env=sabotage())
    assert refused.returncode == 2 and "already exists" in refused.stderr and "measuring" not in refused.stderr


def test_a_report_of_somebody_else_s_files_is_not_replaced(
    run_cli: RunCli, sabotage: Sabotage, artifact: Path, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text("mine")
    ran = run_cli("report", artifact, "--out", tmp_path, env=sabotage())
    assert ran.returncode == 2 and (tmp_path / "report.html").read_text() == "mine"


def test_the_demo_without_a_back_end_says_what_to_install(run_cli: RunCli, sabotage: Sabotage, tmp_path: Path) -> None:
    absent = ("executorch", "coremltools", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "torchao")
    ran = run_cli("demo", "--epochs", 1, "--out", tmp_path / "demo", env=sabotage(absent=absent))
    assert ran.returncode == 1 and "Traceback" not in ran.stderr and "no artifact was made" in ran.stderr
    assert ran.stdout.count("SKIPPED") >= 6 and "pip install 'edgevit[coreml]'" in ran.stderr


def test_nothing_is_measured_by_an_absent_back_end(run_cli: RunCli, sabotage: Sabotage, artifact: Path, tmp_path: Path) -> None:
    """The same artifact is whole where the back end is there; here it is not checked, and not measured."""
    target = targets.get(artifact.name.rpartition("-")[0])
    library = target.needs[0]
    env = sabotage(absent=(library.module,))
    ran = run_cli("bench", artifact, "--runs", 50, "--json", env=env)
    (found,) = json.loads(ran.stdout)[0]["latencies"]
    assert found["where"] == "none" and found["p50_ms"] is None and f"{library.module} is not installed" in found["reason"]
    for command in (("check", artifact), ("predict", artifact, _photo(tmp_path))):
        ran = run_cli(*command, env=env)
        assert ran.returncode == 1 and "Traceback" not in ran.stderr
        assert f"pip install 'edgevit[{library.extra}]'" in ran.stdout + ran.stderr


def _photo(folder: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (20, 20), "red").save(folder / "photo.png")
    return folder / "photo.png"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 900 kB: room for the weights of `training` and not for its optimiser."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system may not be mounted here")
    yield place
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def _said_once(ran: subprocess.CompletedProcess[str], words: str) -> None:
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.count("error:") == 1 and words in ran.stderr and "hint:" in ran.stderr
    assert "Traceback" not in ran.stderr and ran.stdout == ""


def _nothing_is_half_made(run: Path) -> None:
    left = {path.name for path in run.iterdir()} if run.exists() else set()
    assert not any("partial" in name for name in left)
    for name in left & {"best", "last", "before"}:
        checkpoints.load(run / name)


def test_training_onto_a_full_disk(run_cli: RunCli, training: tuple[str, ...], small_disk: Path) -> None:
    ran = run_cli(*training, "--epochs", 1, "--out", small_disk / "run")
    _said_once(ran, "no space left on device")
    _nothing_is_half_made(small_disk / "run")


def test_exporting_onto_a_full_disk(run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, small_disk: Path) -> None:
    """There is room for one artifact: the first stays whole, and nothing of the second."""
    arguments = ("export", checkpoint, "--target", "null", "--out", small_disk)
    first = run_cli(*arguments, "--recipe", "fp32", env=sabotage())
    assert first.returncode == 0, first.stderr
    before = _contents(small_disk)
    ran = run_cli(*arguments, "--recipe", "fp16", env=sabotage())
    _said_once(ran, "no space left on device")
    assert _contents(small_disk) == before and os.listdir(small_disk) == ["null-fp32"]


def test_files_that_may_not_grow(run_cli: RunCli, training: tuple[str, ...], tmp_path: Path) -> None:
    """The same without a right to mount."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    ran = run_cli(*training, "--epochs", 1, "--out", tmp_path / "run", before=limit)
    _said_once(ran, "file too large")
    _nothing_is_half_made(tmp_path / "run")
