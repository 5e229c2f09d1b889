"""What is not measured on a device stands under that device's own name, whatever else a user said to reach it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgevit.jobs import bench
from edgevit.types import Artifact, BenchRules, DeviceFacts, Outcome, silent
from targets.devices import Access


def test_a_file_for_another_system_is_not_measured_on_the_device_that_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under any other name the report would show a second device, which has nothing to ship."""
    package = Artifact("coreml", "fp32", Outcome.PASS, file="model.mlpackage")
    failed = Artifact("coreml", "int8", Outcome.CONVERT_FAILED, reason="too large")
    made = {Path("coreml-fp32"): package, Path("coreml-int8"): failed}
    monkeypatch.setattr(bench, "artifacts", SimpleNamespace(read=lambda folder: made[folder], verify=lambda artifact: artifact))
    pi = SimpleNamespace(facts=DeviceFacts("ssh://pi", "Pi", "Linux 6.6"), close=lambda keep: None)
    monkeypatch.setattr(bench, "connect", lambda spec, access: pi)
    subjects = tuple(bench.Subject(folder) for folder in made)
    found = bench.bench(subjects, "ssh://pi?python=/opt/x/bin/python", BenchRules(), Access(), silent)
    assert [(one.artifact, one.device) for one in found.latencies] == [("coreml-fp32", "ssh://pi"), ("coreml-int8", "ssh://pi")]
    assert found.latencies[0].reason == "Darwin or macOS or iOS alone runs it, and this is Linux 6.6"
    assert found.latencies[1].reason == "CONVERT_FAILED: too large" and found.device is pi.facts
