"""What is said after a training, and what `--force` does not take away."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import checkpoint as checkpoints
from edgevit.cli import learn

RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("out", "into"), [("runs/flowers", "runs/flowers-export"), ("flowers", "flowers-export"), ("a.b", "a.b-export")]
)
def test_the_hint_puts_exports_beside_the_run(checkpoint: Path, out: str, into: str) -> None:
    made = checkpoints.read(checkpoint)
    assert learn._next(made, Path(out)) == f"edgevit export {out} --target all --out {into}"


@pytest.mark.parametrize("out", [".", "..", "runs/.."])
def test_the_hint_of_a_run_without_a_name_leaves_its_folder(
    checkpoint: Path, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path(out).resolve()
    assert learn._next(checkpoints.read(checkpoint), Path(out)).endswith(f"--out {run}-export")


def test_force_takes_no_export_away(run_cli: RunCli, checkpoint: Path, training: tuple[str, ...], tmp_path: Path) -> None:
    run = Path(shutil.copytree(checkpoint, tmp_path / "run"))
    (run / "export" / "tflite-int8").mkdir(parents=True)
    ran = run_cli(*training, "--epochs", 1, "--out", run, "--force")
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert "which would be lost: export\n" in ran.stderr and "hint: move it elsewhere" in ran.stderr
    assert (run / "export" / "tflite-int8").is_dir() and not (tmp_path / "run.partial").exists()


def test_a_new_run_that_is_whole_waits_where_an_export_came_meanwhile(
    run_cli: RunCli, checkpoint: Path, training: tuple[str, ...], tmp_path: Path
) -> None:
    """It stays beside the old one, and takes its place once the export is elsewhere."""
    run, beside = (Path(shutil.copytree(checkpoint, tmp_path / name)) for name in ("run", "run.partial"))
    (run / "export").mkdir()
    assert run_cli("train", "--resume", "--out", run).returncode == 2 and (beside / "best").is_dir()
    (run / "export").rename(tmp_path / "export")
    assert run_cli("train", "--resume", "--out", run).returncode == 0 and not beside.exists()
