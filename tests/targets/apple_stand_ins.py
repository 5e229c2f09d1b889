"""What stands in for a Mac, its Core ML and a phone: all of coremltools' own Python above them runs as it is.

`Native` is Core ML as coremltools' binding gives it; `answer` is ModelRunner on a phone, called as coremltools calls it; the
programs in `xcode` are devicectl and xcodebuild. What coremltools compiles and plans by its binding is put in at those functions,
and `PAIRS` holds each beside the real one, whose signature a test compares.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from targets.devices.apple import benchmark as benchmark
from targets.devices.apple import phone as phone
from targets.devices.apple import plan as plan
from targets.mil.evaluate import Evaluator

async_wrapper, remote_device = benchmark.async_wrapper, phone.remote_device
ct, compute_plan_utils = plan.coremltools, plan.compute_plan_utils
compute_plan = ct.models.compute_plan
LOAD_NS, PREDICT_NS = 250_000_000, 2_000_000
UDID, IDENTIFIER = "00008110-000A1D2E0C81801E", "5B1C2D3E-0000-4000-8000-0123456789AB"


class Native:
    """A loaded package; takes one image at a time and answers as the evaluator. Keeps the units that it was loaded for."""

    units: ClassVar[list[str]] = []
    refused: ClassVar[str] = ""

    def __init__(self, path: str, units: str, function: str, hints: dict[str, str], asset: None) -> None:
        if self.refused:
            raise RuntimeError(self.refused)
        Native.units.append(units)
        self._evaluator = Evaluator(Path(path))

    @staticmethod
    def maximum_supported_specification_version() -> int:
        return 9

    def predict(self, given: dict[str, Any], state: None) -> dict[str, Any]:
        if "images" in given:
            assert given["images"].shape[0] == 1 and given["images"].dtype == np.float32
            return {"logits": self._evaluator(given["images"])}
        (probabilities,) = self._evaluator(np.asarray(given["image"])[None])
        named = dict(zip("abcde", map(float, probabilities), strict=True))
        return {"label": max(named, key=named.__getitem__), "label_probs": named}

    def get_load_duration_in_nano_seconds(self) -> int:
        return LOAD_NS

    def get_last_predict_duration_in_nano_seconds(self) -> int:
        return PREDICT_NS


def compile_model(model: Any, destination_path: str | None = None) -> str:
    assert destination_path is not None
    shutil.copytree(model, destination_path)
    return destination_path


class Plan:
    """Of a loop over a softmax, a linear and a constant: the first is for the CPU whatever was asked for."""

    model_structure = compute_plan.MLModelStructure(None, None, None)

    def __init__(self) -> None:
        softmax = _operation("ios16.softmax", "inner")
        loop = _operation("ios16.while_loop", "loop", (softmax,))
        self.operations = (_operation("const", "weight"), loop, _operation("ios16.linear", "logits"))
        function = compute_plan.MLModelStructureProgramFunction([], _block(self.operations))
        self.model_structure = compute_plan.MLModelStructure(None, compute_plan.MLModelStructureProgram({"main": function}), None)
        self.unit: type = plan.KINDS[0][0]

    def get_compute_device_usage_for_mlprogram_operation(self, operation: Any) -> Any:
        if operation.operator_name == "const":
            return None
        kind = plan.KINDS[0][0] if operation.operator_name == "ios16.softmax" else self.unit
        return compute_plan.MLComputePlanDeviceUsage(kind.__new__(kind), [])

    def get_estimated_cost_for_mlprogram_operation(self, operation: Any) -> Any:
        return compute_plan.MLComputePlanCost(0.75) if operation.operator_name == "ios16.linear" else None


def _operation(kind: str, name: str, inner: tuple[Any, ...] = ()) -> Any:
    outputs = [compute_plan.MLModelStructureProgramNamedValueType(name, compute_plan.MLModelStructureProgramValueType())]
    blocks = [_block(inner)] if inner else []
    return compute_plan.MLModelStructureProgramOperation({}, kind, outputs, blocks, None)


def _block(operations: tuple[Any, ...]) -> Any:
    return compute_plan.MLModelStructureProgramBlock([], list(operations), [])


async def load_plan(path: str, compute_units: Any = ct.ComputeUnit.ALL, device: Any = None) -> Plan:
    assert Path(path).is_dir()
    found, kinds = Plan(), {"CPU_ONLY": 0, "CPU_AND_GPU": 1, "CPU_AND_NE": 2, "ALL": 2}
    found.unit = plan.KINDS[kinds[compute_units.name]][0]
    return found


async def call_method(self: Any, name: str, params: Any, resource: Any = None) -> tuple[Any, Any]:
    return answer(self, name.rpartition(".")[2], params, resource)


def answer(service: Any, verb: str, params: dict[str, Any], resource: Path | None) -> tuple[Any, Path | None]:
    """As coremltools' ModelService.swift."""
    said: dict[str, Any] = {"modelID": params["modelID"]}
    if verb == "Load":
        assert resource is not None and (resource / "Manifest.json").is_file()
        service.loaded = Evaluator(resource)
        Native.units.append(params["computeUnits"])
        return {**said, "duration": LOAD_NS, "isCached": False}, None
    if verb == "Prediction":
        tensor, folder = params["inputs"]["images"], service.socket.working_directory
        assert resource is not None and tensor["dataType"] == "Float32"
        logits = service.loaded(np.frombuffer(resource.read_bytes(), np.float32).reshape(tensor["shape"]))
        (folder / "answer.bin").write_bytes(logits.tobytes())
        stored = {"offset": 0, "size": logits.nbytes}
        told = {"shape": list(logits.shape), "strides": [logits.shape[1], 1], "dataType": "Float32", "storage": stored}
        return {**said, "duration": PREDICT_NS, "outputs": {"logits": told}}, folder / "answer.bin"
    return said, None


XCRUN = """#!{python}
import json, sys, time
words = sys.argv[1:]
open({log!r}, "a").write(json.dumps(words) + chr(10))
if "list" in words:
    json.dump({{"result": {{"devices": {devices!r}}}}}, open(words[words.index("-j") + 1], "w"))
elif "install" in words:
    json.dump({{"result": {{"installedApplications": [{{"bundleID": "x.y", "databaseUUID": "1"}}]}}}}, open(words[-1], "w"))
elif "launch" in words and {dies!r}:
    sys.exit({dies!r})
elif "launch" in words:
    time.sleep(60)
"""
XCODEBUILD = """#!{python}
import os, sys
if {fails!r}:
    sys.exit(65)
root = next(word.partition("=")[2] for word in sys.argv if word.startswith("SYMROOT="))
os.makedirs(os.path.join(root, "modelrunner.app"), exist_ok=True)
"""


def listed(**changed: Any) -> dict[str, Any]:
    """One device as devicectl lists it."""
    told = {"name": "Phone", "osVersionNumber": "18.1", "osBuildUpdate": "22B83", "developerModeStatus": "enabled"}
    tunnel = {"tunnelState": changed.pop("state", "connected")}
    hardware = {"deviceType": changed.pop("kind", "iPhone"), "udid": changed.pop("udid", UDID)}
    identifier = changed.pop("identifier", IDENTIFIER)
    return {
        "identifier": identifier, "deviceProperties": {**told, **changed}, "hardwareProperties": hardware,
        "connectionProperties": tunnel,
    }  # fmt: skip


def xcode(folder: Path, devices: list[dict[str, Any]], dies: str = "", fails: bool = False) -> Path:
    """Programs by the names of Xcode's, in `folder`; the calls of xcrun are noted in the file that is returned."""
    folder.mkdir(exist_ok=True)
    log = folder / "calls"
    xcrun = XCRUN.format(python=sys.executable, devices=devices, dies=dies, log=str(log))
    for name, text in {
        "xcrun": xcrun,
        "devicectl": xcrun,
        "xcodebuild": XCODEBUILD.format(python=sys.executable, fails=fails),
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    log.touch()
    return log


def calls(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


REAL_PLAN = compute_plan.MLComputePlan
PAIRS = (
    (compile_model, ct.models.utils.compile_model),
    (load_plan, compute_plan_utils.load_compute_plan_from_path_on_device),
    (call_method, remote_device._DeviceCtlRemoteService.call_method),
    *((getattr(Plan, name), getattr(REAL_PLAN, name)) for name in vars(Plan) if name.startswith("get_")),
)


def put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the above but Xcode, in the places of the real ones."""
    monkeypatch.setattr(sys.modules["coremltools.models.model"], "_MLModelProxy", Native)
    monkeypatch.setattr(Native, "units", [])
    monkeypatch.setattr(ct.models.utils, "compile_model", compile_model)
    monkeypatch.setattr(async_wrapper, "compile_model", compile_model)
    monkeypatch.setattr(compute_plan_utils, "load_compute_plan_from_path_on_device", load_plan)
    monkeypatch.setattr(remote_device._DeviceCtlRemoteService, "call_method", call_method)


def with_xcode(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The programs of `xcode` first in the path, and ModelRunner's project where coremltools looks for it."""
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(remote_device._DeviceCtl, "_validation_done", False)
    project = folder / "modelrunner"
    (project / "ModelRunner.xcworkspace").mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(remote_device._ModelRunnerAppBuilder, "_get_project_path", staticmethod(lambda: project))
