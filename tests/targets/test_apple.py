"""A Mac and a phone on Core ML, with stand-ins for what no other machine has."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit import record
from edgevit.data.preprocess import normalise
from edgevit.errors import BadInput, DeviceFault, DeviceLost, NoRuntime, NotInstalled
from edgevit.types import Asked, DeviceFacts, Input, Launch, Model, Moment, Placed, Preprocess, Unit, silent

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
mb = pytest.importorskip("coremltools.converters.mil.mil").Builder

from targets.devices import apple  # noqa: E402
from targets.devices.apple import child as apple_child  # noqa: E402
from targets.devices.apple import process as apple_process  # noqa: E402
from targets.devices.apple.order import Order, Phone, Said, line  # noqa: E402
from targets.mil.evaluate import Evaluator  # noqa: E402
from tests.targets import apple_stand_ins as stand_ins  # noqa: E402

WEIGHT = np.random.default_rng(1).normal(size=(5, 48)).astype(np.float32)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
PREPROCESS = Preprocess((4, 4), (4, 4), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
QUICK = Asked(runs=3, warmup=1)
PHONE = Phone("Phone", stand_ins.IDENTIFIER, stand_ins.UDID, "18.1", "22B83", "connected", "enabled")


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> Model:
    @mb.program(input_specs=[mb.TensorSpec((1, 3, 4, 4))], opset_version=ct.target.iOS16)
    def whole(images: Any) -> Any:
        return mb.linear(x=mb.reshape(x=images, shape=[1, 48]), weight=WEIGHT, name="logits")

    return _saved(whole, tmp_path_factory.mktemp("tensors"), Input.TENSOR)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Model:
    @mb.program(input_specs=[mb.TensorSpec((1, 3, 4, 4))], opset_version=ct.target.iOS16)
    def whole(image: Any) -> Any:
        logits = mb.linear(x=mb.reshape(x=image, shape=[1, 48]), weight=WEIGHT * np.float32(0.001))
        return mb.softmax(x=logits, axis=-1, name="probabilities")

    named = ct.ClassifierConfig(list("abcde"), "label", "probabilities")
    ends = {"inputs": [ct.ImageType("image", (1, 3, 4, 4))], "classifier_config": named}
    return _saved(whole, tmp_path_factory.mktemp("pictures"), Input.PIXELS, **ends)


def _saved(whole: Any, folder: Path, takes: Input, **ends: Any) -> Model:
    rules = {"minimum_deployment_target": ct.target.iOS16, "compute_precision": ct.precision.FLOAT32}
    ct.convert(whole, skip_model_load=True, **rules, **ends).save(str(folder / "model.mlpackage"))
    return Model("coreml-fp32", folder / "model.mlpackage", takes.value, "coreml", takes, PREPROCESS)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is asked as ever, and answers within this one; orders and answers go through JSON both ways."""
    stand_ins.put_in(monkeypatch)

    def ask(order: Order, seconds: float, heard: Callable[[Moment], None] | None = None) -> Said:
        def tell(said: Said) -> None:
            assert heard is not None
            heard(record.decode(line(said), Said).moment)  # type: ignore[arg-type]

        last = record.decode(line(apple_child.done(record.decode(line(order), Order), tell)), Said)
        if last.fault:
            raise (DeviceLost if last.lost else DeviceFault)(last.fault, last.hint)
        return last

    monkeypatch.setattr(apple_process, "ask", ask)


@pytest.fixture
def mac(here: None) -> apple.AppleDevice:
    return apple.AppleDevice(DeviceFacts("macos"), None)


@pytest.fixture
def calls(here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    log = stand_ins.xcode(tmp_path / "xcode", [stand_ins.listed()])
    stand_ins.with_xcode(monkeypatch, tmp_path / "xcode")
    return log


@pytest.fixture
def phone(calls: Path) -> apple.AppleDevice:
    return apple.AppleDevice(DeviceFacts(f"ios:{stand_ins.UDID}"), PHONE)


@pytest.mark.parametrize(("stand_in", "real"), stand_ins.PAIRS, ids=lambda f: f.__name__)
def test_stand_ins_are_called_as_the_real_ones(stand_in: Any, real: Any) -> None:
    ours, theirs = inspect.signature(stand_in).parameters.values(), inspect.signature(real).parameters.values()
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]
    assert inspect.iscoroutinefunction(stand_in) == inspect.iscoroutinefunction(real)


def test_a_launch_has_every_single_time(mac: apple.AppleDevice, tensors: Model) -> None:
    found = mac.launch(tensors, dataclasses.replace(QUICK, unit=Unit.NPU))
    assert (found.cold_ms, found.warm_ms, found.first_ms) == (250.0, 250.0, 2.0)
    assert found.times_ms == (2.0,) * 3 and (found.runs, found.warmup, found.dropped) == (3, 1, False)
    assert found.peak_bytes and found.before_bytes and found.peak_bytes >= found.before_bytes
    assert found.before and found.after and 0 <= found.before.seconds <= found.after.seconds
    assert found.elsewhere == "1 of 3 operators planned for CPU: softmax 1"


def test_each_unit_is_asked_for_by_its_name(mac: apple.AppleDevice, tensors: Model) -> None:
    for unit in mac.units(tensors):
        mac.launch(tensors, dataclasses.replace(QUICK, unit=unit))
    assert list(dict.fromkeys(stand_ins.Native.units)) == ["CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE", "ALL"]
    assert mac.units(dataclasses.replace(tensors, runtime="litert")) == ()


def test_the_plan_names_each_operator_and_its_unit(mac: apple.AppleDevice, tensors: Model) -> None:
    assert mac.plan(tensors, Asked(unit=Unit.GPU)) == (
        Placed("while_loop", "loop", Unit.GPU), Placed("softmax", "inner", Unit.CPU), Placed("linear", "logits", Unit.GPU, 0.75),
    )  # fmt: skip


def test_a_launch_without_a_plan_says_so(mac: apple.AppleDevice, tensors: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS 14.3: the figures stand."""

    async def old(*_: Any, **__: Any) -> None:
        raise RuntimeError("MLComputePlan is only available on macOS >= 14.4")

    monkeypatch.setattr(stand_ins.compute_plan_utils, "load_compute_plan_from_path_on_device", old)
    found = mac.launch(tensors, dataclasses.replace(QUICK, unit=Unit.NPU))
    assert found.elsewhere == "unknown, Core ML told no plan: RuntimeError: MLComputePlan is only available on macOS >= 14.4"
    with pytest.raises(DeviceFault, match=r"macOS >= 14\.4") as caught:
        mac.plan(tensors, Asked(unit=Unit.NPU))
    assert "update macOS" in caught.value.hint


def test_what_core_ml_refuses_is_a_fault_with_its_reason(
    mac: apple.AppleDevice, tensors: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """coremltools keeps it in a warning."""
    monkeypatch.setattr(stand_ins.Native, "refused", "Error compiling model: unsupported operation")
    with pytest.raises(DeviceFault, match=r"Failed to load model; .*unsupported operation"):
        mac.launch(tensors, QUICK)


def test_answers_are_those_of_the_package(mac: apple.AppleDevice, tensors: Model, pictures: Model) -> None:
    wanted = Evaluator(tensors.file)(normalise(PIXELS, PREPROCESS))
    np.testing.assert_allclose(mac.answers(tensors, QUICK, PIXELS), wanted, rtol=1e-5, atol=1e-6)
    found = mac.answers(pictures, QUICK, PIXELS)
    np.testing.assert_allclose(found, Evaluator(pictures.file)(PIXELS), rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32 and len(np.unique(found.argmax(1))) > 1


def test_a_package_that_takes_images_is_measured_with_one(mac: apple.AppleDevice, pictures: Model) -> None:
    assert mac.launch(pictures, QUICK).times_ms == (2.0,) * 3


@pytest.mark.parametrize("device", ["mac", "phone"])
def test_a_sustained_run_tells_its_moments(
    device: str, tensors: Model, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_ins.benchmark, "STRETCH", 0.05)
    told: list[Moment] = []
    found = request.getfixturevalue(device).sustain(tensors, QUICK, 0.2, told.append)
    assert list(found) == told and len(found) >= 2
    assert all(moment.runs >= 1 and moment.p50_ms == 2.0 for moment in found)
    seconds = [moment.conditions.seconds for moment in found]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_a_phone_measures_with_coremltools_app(phone: apple.AppleDevice, calls: Path, tensors: Model) -> None:
    found = phone.launch(tensors, dataclasses.replace(QUICK, unit=Unit.NPU))
    assert found.times_ms == (2.0,) * 3 and (found.cold_ms, found.warm_ms) == (250.0, 250.0)
    assert found.peak_bytes is None and found.before is None and found.elsewhere.startswith("1 of 3 operators")
    wanted = Evaluator(tensors.file)(normalise(PIXELS, PREPROCESS))
    np.testing.assert_allclose(phone.answers(tensors, QUICK, PIXELS), wanted, rtol=1e-5, atol=1e-6)
    assert set(stand_ins.Native.units) == {"CPU_AND_NE", "CPU_ONLY"}
    phone.close(keep=True)
    assert not any("uninstall" in words for words in stand_ins.calls(calls))
    phone.close()
    assert [words for words in stand_ins.calls(calls) if "uninstall" in words] == [
        ["devicectl", "device", "uninstall", "app", "--device", stand_ins.IDENTIFIER, "com.coremltools.modelrunnerd"]
    ]


def test_a_phone_that_is_gone_is_lost(phone: apple.AppleDevice, tensors: Model) -> None:
    stand_ins.xcode(stand_ins.remote_device._ModelRunnerAppBuilder._get_project_path().parent, [])
    with pytest.raises(DeviceLost, match="the device is gone"):
        phone.launch(tensors, QUICK)


def test_an_app_that_does_not_start_says_why(phone: apple.AppleDevice, tensors: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(self: Any, name: str, params: Any, resource: Any = None) -> None:
        phone_process.wait(timeout=20)
        raise stand_ins.remote_device._DeviceCtlError(b"no such file", 1)

    def started(command: str) -> subprocess.Popen[bytes]:
        nonlocal phone_process
        phone_process = real(command)
        return phone_process

    phone_process: Any = None
    real = stand_ins.remote_device._DeviceCtl._run_command_async
    monkeypatch.setattr(stand_ins.remote_device._DeviceCtl, "_run_command_async", staticmethod(started))
    monkeypatch.setattr(stand_ins.remote_device._DeviceCtlRemoteService, "call_method", nobody)
    folder = stand_ins.remote_device._ModelRunnerAppBuilder._get_project_path().parent
    stand_ins.xcode(folder, [stand_ins.listed()], dies="its profile has not been explicitly trusted by the user")
    with pytest.raises(DeviceFault, match="ModelRunner does not run there: its profile has not") as caught:
        phone.launch(tensors, QUICK)
    assert "VPN & Device Management" in caught.value.hint


def test_a_build_that_fails_names_the_team(phone: apple.AppleDevice, tensors: Model) -> None:
    folder = stand_ins.remote_device._ModelRunnerAppBuilder._get_project_path().parent
    stand_ins.xcode(folder, [stand_ins.listed()], fails=True)
    with pytest.raises(DeviceFault, match=r"app build failed with code 65$") as caught:
        phone.launch(tensors, QUICK)
    assert "EDGEVIT_APPLE_TEAM" in caught.value.hint


def test_no_shell_sees_what_is_no_team(here: None, calls: Path, tensors: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEVIT_APPLE_TEAM", "X; touch /tmp/x")
    with pytest.raises(DeviceFault, match="EDGEVIT_APPLE_TEAM is none: X; touch"):
        apple.AppleDevice(DeviceFacts("ios:1"), PHONE).launch(tensors, QUICK)


def test_phones_take_no_images_and_no_other_runtime(phone: apple.AppleDevice, tensors: Model, pictures: Model) -> None:
    phone.send(tensors, silent)
    with pytest.raises(DeviceFault, match="tensors and no images") as caught:
        phone.send(pictures, silent)
    assert "--input tensor" in caught.value.hint
    with pytest.raises(DeviceFault, match="none for litert"):
        phone.send(dataclasses.replace(tensors, runtime="litert"), silent)
    with pytest.raises(BadInput, match="no package there"):
        phone.send(dataclasses.replace(tensors, file=Path("nowhere.mlpackage")), silent)
    with pytest.raises(DeviceFault, match="nobody choose cores"):
        phone.launch(tensors, Asked(affinity=(1,)))


@pytest.mark.parametrize(
    "launch",
    [Launch(1.0, 1.0, 1.0, (1.0, 1.0)), Launch(1.0, 1.0, 1.0, (1.0, -1.0, 1.0)), Launch(None, 1.0, 1.0, (1.0,) * 3)],
    ids=["too few", "negative", "no load"],
)  # fmt: skip
def test_figures_that_cannot_be_are_refused(
    mac: apple.AppleDevice, tensors: Model, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apple_process, "ask", lambda *_: Said(launch=launch))
    with pytest.raises(DeviceFault, match="times that are no times"):
        mac.launch(tensors, QUICK)


def test_answers_that_are_none_are_refused(mac: apple.AppleDevice, tensors: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apple_process, "ask", lambda *_: Said())
    with pytest.raises(DeviceFault, match="not there"):
        mac.answers(tensors, QUICK, PIXELS)

    def short(order: Order, *_: Any) -> Said:
        np.save(order.logits, np.zeros((2, 5), np.float32))  # type: ignore[arg-type]
        return Said()

    monkeypatch.setattr(apple_process, "ask", short)
    with pytest.raises(DeviceFault, match="one row of numbers for each image"):
        mac.answers(tensors, QUICK, PIXELS)


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML is here")
def test_elsewhere_it_says_why_not() -> None:
    (found,) = apple.reachable()
    assert found.spec == "macos" and "Apple's systems only" in found.reason and "on a Mac" in found.hint
    for opened in (apple.open_macos, lambda: apple.open_ios(None)):
        with pytest.raises(NoRuntime, match="Apple's systems only"):
            opened()


def test_a_mac_without_coremltools_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(apple, "version", lambda _: None)
    with pytest.raises(NotInstalled, match="coremltools") as caught:
        apple.open_macos()
    assert caught.value.hint == "pip install 'edgevit[coreml]'"


@pytest.mark.parametrize(
    ("devices", "udid", "error", "hint"),
    [
        ([], None, "no iPhone or iPad is known", "plug one in"),
        ([stand_ins.listed(kind="appleWatch")], None, "no iPhone or iPad is known", "plug one in"),
        ([stand_ins.listed()], "beef", "with the UDID beef", f"known: ios:{stand_ins.UDID} .Phone."),
        ([stand_ins.listed(state="disconnected")], None, "it is disconnected", "unlock it"),
        ([stand_ins.listed(developerModeStatus="disabled")], None, "developer mode is off", "Developer Mode"),
        ([stand_ins.listed(), stand_ins.listed(udid="B2", kind="iPad")], None, "2 devices", "ios:B2"),
        ([stand_ins.listed(identifier="x; rm -rf y")], None, "no iPhone or iPad is known", "plug one in"),
        ([{"identifier": "x"}], None, "no iPhone or iPad is known", "plug one in"),
        (["garbage"], None, "AttributeError", ""),
    ],
)  # fmt: skip
def test_phones_that_cannot_be_chosen(
    here: None, devices: Any, udid: str | None, error: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.xcode(tmp_path / "xcode", devices)
    stand_ins.with_xcode(monkeypatch, tmp_path / "xcode")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(DeviceFault, match=error) as caught:
        apple.open_ios(udid)
    assert hint.replace(".Phone.", "(Phone)") in caught.value.hint


def test_the_phone_is_found_by_its_udid_or_alone(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for udid in (None, stand_ins.UDID, stand_ins.UDID.lower()):
        facts = apple.open_ios(udid).facts
        assert (facts.spec, facts.name, facts.system) == (f"ios:{stand_ins.UDID}", "Phone", "iOS 18.1 22B83")
    assert [found.spec for found in apple.reachable()] == ["macos", f"ios:{stand_ins.UDID}"]


def test_a_mac_without_xcode_is_still_reachable(here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(stand_ins.remote_device._DeviceCtl, "_validation_done", False)
    mac, phones = apple.reachable()
    assert mac.spec == "macos" and not mac.reason
    assert phones.spec == "ios" and "'devicectl' command is required" in phones.reason and "Xcode 15" in phones.hint
