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


def test_nothing_is_measured_by_an_absent_back_end(run_cli: RunCli, sabotage: Sabotage, artifact: Path, tmp_path: Path) -> None:
    """The same artifact is whole where the back end is there; here it is not checked, and not measured."""
    target = targets.get(artifact.name.partition("-")[0])
    library = target.needs[0]
    env = sabotage(absent=(library.module,))
    ran = run_cli("bench", artifact, "--runs", 50, "--json", env=env)
    (found,) = json.loads(ran.stdout)
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
    for name in left & {"best", "last"}:
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
