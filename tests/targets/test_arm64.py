"""A real arm64 Debian with its aarch64 wheels, under emulation and behind ssh: that everything works there, and nothing of speed.

`EDGEVIT_ARM64_ROOT` names its root, as docs/devices.md makes one; without it these are left out.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from edgevit import artifact as artifacts
from edgevit.data.preprocess import denormalise
from edgevit.types import Artifact, Asked, Model, silent
from targets import devices
from tests.targets import ssh_server
from tests.targets.ssh_server import Server

ROOT = os.environ.get("EDGEVIT_ARM64_ROOT", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ROOT, reason="EDGEVIT_ARM64_ROOT names no arm64 root (docs/devices.md)"),
    pytest.mark.skipif(ssh_server.SSHD is None, reason="no sshd is installed here (Debian: openssh-server)"),
]
RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = ssh_server.start(tmp_path_factory.mktemp("sshd"))
    yield found
    found.process.terminate()
    found.process.wait()


@pytest.fixture
def spec(server: Server, tmp_path: Path) -> str:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec chroot "{ROOT}" /usr/bin/env HOME=/root /venv/bin/python "$@"\n')
    python.chmod(0o755)
    return f"ssh://127.0.0.1:{server.port}?python={quote(str(python))}&config={quote(str(server.config))}"


@pytest.fixture(scope="module")
def exported(run_cli: RunCli, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    ran = run_cli("export", checkpoint, "--target", "tflite", "--recipe", "fp32", "--recipe", "int8", "--out", out)
    assert ran.returncode == 0, ran.stderr
    return out


def _model(artifact: Artifact) -> Model:
    return Model(artifact.name, artifacts.model_file(artifact), artifact.sha256, "litert", artifact.input, artifact.preprocess)


@pytest.mark.parametrize(("recipe", "bound"), [("fp32", 1e-4), ("int8", 0.05)])
def test_the_same_file_gives_the_same_answers(recipe: str, bound: float, exported: Path, spec: str) -> None:
    artifact = artifacts.read(exported / f"tflite-{recipe}")
    golden = artifacts.read_golden(artifact.folder, artifact.config)
    device = devices.connect(spec)
    try:
        assert device.facts.processor == "aarch64"
        model = _model(artifact)
        device.send(model, silent)
        launched = device.launch(model, Asked(runs=3, warmup=1, threads=1))
        assert len(launched.times_ms) == 3 and launched.warm_ms
        assert artifact.preprocess
        pixels = denormalise(golden.images[:8], artifact.preprocess)
        answers = device.answers(model, Asked(threads=1), pixels)
    finally:
        device.close()
    here = golden.artifact_logits[:8]
    assert np.linalg.norm(answers - here) <= bound * np.linalg.norm(here)
    assert (answers.argmax(1) == golden.logits[:8].argmax(1)).mean() >= 0.75


def test_a_bench_from_nothing_to_its_record(run_cli: RunCli, exported: Path, spec: str, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    ran = run_cli(
        "bench", exported / "tflite-int8", "--device", spec, "--runs", 50, "--launches", 6, "--most-launches", 6, "--images", 4,
        "--out", out,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "aarch64" in out.read_text()
