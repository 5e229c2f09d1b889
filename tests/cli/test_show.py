"""Which models there are at a size, and what the options that are read by hand refuse."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import doctor, stage
from edgevit.cli import options, show
from edgevit.errors import BadInput

RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("text", ["9" * 5000, "224x" + "9" * 5000, "²24", "٢٢٤", "7", "4097", "32x32x32", "", "-32"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(BadInput, match="not an image size") as caught:
        options.size(text)
    assert len(caught.value.message) < 100


def test_a_size() -> None:
    assert (options.size("224"), options.size("192X256"), options.size(None)) == ((224, 224), (192, 256), None)


def test_models_that_fit_a_size_are_shown_and_the_others_named(run_cli: RunCli) -> None:
    ran = run_cli("models", "--image-size", "192x256", "--json")
    assert ran.returncode == 0, ran.stderr
    names = {model["variant"] for model in json.loads(ran.stdout)}
    assert {"Ti/16", "B/32"} <= names and "H/14" not in names
    assert ran.stderr == "left out, since their patch does not divide image size 192x256: L/14, H/14\n"


def test_no_model_fits() -> None:
    with pytest.raises(BadInput, match="no model's patch divides image size 17") as caught:
        show._configs((17, 17), 10)
    assert caught.value.hint == "take a multiple of 4"


def test_a_name_that_is_no_text_is_refused(run_cli: RunCli, checkpoint: Path, tmp_path: Path) -> None:
    image = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        image.write_bytes(b"")
    except OSError:
        pytest.skip("no such name on this file system")
    ran = run_cli("predict", checkpoint, image)
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert "error: not a name in UTF-8: " in ran.stderr and "caf\\xe9.png" in ran.stderr


@pytest.mark.parametrize(
    ("python", "system", "machine", "words"),
    [
        ((3, 11), "Linux", "x86_64", "pip install"),
        ((3, 12), "Linux", "x86_64", "not for Python 3.12 on Linux x86_64"),
        ((3, 11), "Linux", "aarch64", "not for Python 3.11 on Linux aarch64"),
        ((3, 11), "Darwin", "arm64", "not for Python 3.11 on Darwin arm64"),
    ],
)
def test_doctor_says_where_tflite_support_is(
    python: tuple[int, int], system: str, machine: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "version", lambda _: None)
    monkeypatch.setattr(sys, "version_info", (*python, 1, "final", 0))
    for name, value in (("python_version", f"{python[0]}.{python[1]}.1"), ("system", system), ("machine", machine)):
        monkeypatch.setattr(platform, name, lambda value=value: value)
    assert words in doctor._tflite_support().advice


def test_doctor_says_what_it_waits_for() -> None:
    labels: list[str] = []
    stage.run("edgevit.doctor:describe_torch", str, lambda label, *_: labels.append(label))
    assert labels[-1] == "importing torch"


def test_doctor_names_a_mac_s_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert "MPS" in doctor.describe_torch(lambda *_: None)
