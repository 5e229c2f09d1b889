"""Android devices: adb's real client, a server that speaks its protocol, and behind that a shell in a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.data.preprocess import normalise
from edgevit.errors import BadInput, DeviceFault, DeviceLost, NotInstalled
from edgevit.types import Asked, Contents, Delegate, Input, Model, Moment, Port, Preprocess, Unit, silent
from targets.devices import android as adb
from targets.devices.android import AdbDevice, open_adb
from targets.devices.android import folder as android_folder
from targets.devices.android import shell as adb_shell
from targets.devices.programs import Programs

if not shutil.which("adb"):
    pytest.skip("adb's client is not installed", allow_module_level=True)

HERE = Path(__file__).parent


def _beside(name: str) -> Any:
    """A module that stands beside this one, as tests are imported here."""
    spec = importlib.util.spec_from_file_location(f"tests_{name}", HERE / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


adb_server, android_stub = _beside("adb_server"), _beside("android_stub")
SERIAL = "R5CT10ABCDE"
PLAIN = Preprocess((6, 8), (6, 8), "bilinear", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
RUNS = Asked(runs=3, warmup=2)
NAME = "a b'c\";rm -rf $HOME;\n`id`.tflite"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    root = tmp_path / "phone"
    adb_server.device_files(root)
    found = adb_server.Server(root)
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{found.port}")
    monkeypatch.setattr(adb_shell, "PATIENCE", 5.0)
    yield found
    found.close()


def program(path: Path, kind: str, usage: str, says: str, takes: str = "float32", machine: int = 183) -> Path:
    """A file that says for which processor it is, and behind that how the stub is to behave."""
    head = b"\x7fELF\2\1\1" + bytes(9) + b"\3\0" + machine.to_bytes(2, "little")
    words = {"kind": kind, "usage": usage, "says": says, "takes": takes}
    path.write_bytes(head.ljust(64, b"\0") + json.dumps(words).encode())
    return path


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(
        benchmark_model=program(tmp_path / "bench mark;model", "benchmark_model", "usage_interpreter.txt", "tflite_2.3_cpu.txt"),
        executor_runner=program(tmp_path / "runner", "executor_runner", "usage_executor_runner.txt", "executorch_1.5_log.txt"),
    )


@pytest.fixture
def device(server: Any, programs: Programs) -> Iterator[AdbDevice]:
    found = open_adb(SERIAL, dataclasses.replace(programs, executor_runner=None))
    yield found
    server.faults = adb_server.Faults()
    found.close()


@pytest.fixture
def both(server: Any, programs: Programs) -> Iterator[AdbDevice]:
    """With a program for each kind of file."""
    found = open_adb(SERIAL, programs)
    yield found
    found.close()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    """A model file of any bytes, whose ports are told to the reader of files."""

    def make(runtime: str, port: Port | None = None, delegate: str = "XnnpackBackend", name: str = NAME) -> Model:
        file = tmp_path / name
        file.write_bytes(b"weights" * 1000)
        shape = (1, 6, 8, 3) if runtime == "litert" else (1, 3, 6, 8)
        ports = (port or Port("image", "float32", shape),), (Port("logits", "float32", (1, android_stub.CLASSES)),)
        contents = Contents(str(file), runtime, 7000, "", *ports, (), (Delegate(delegate, 1, None, None),), (), ())
        monkeypatch.setattr(adb.files, "read", lambda path: contents)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return Model("tiny-tflite", file, digest, runtime, Input.TENSOR, PLAIN)

    return make


def there(server: Any) -> list[str]:
    return sorted(path.name for path in (server.root / "data/local/tmp").iterdir())


def test_what_a_phone_says_of_itself(server: Any, both: AdbDevice, programs: Programs) -> None:
    facts = both.facts
    assert facts.spec == f"adb:{SERIAL}" and facts.name == "Google Pixel 7 Pro (GS201)" and facts.system == "Android 15 (API 35)"
    assert (facts.processor, facts.cores, facts.memory, facts.reason) == ("arm64-v8a", 8, 11916684 * 1024, "")
    assert programs.benchmark_model
    digest = hashlib.sha256(programs.benchmark_model.read_bytes()).hexdigest()[:12]
    assert facts.runtimes["benchmark_model"] == f"sha256 {digest}" and set(facts.runtimes) == {
        "benchmark_model",
        "executor_runner",
    }


def test_reachable_says_why_one_cannot_be_used(server: Any) -> None:
    server.others = (
        "0123  unauthorized transport_id:2\n4567  no permissions (user in plugdev group); see [http://x]\n89  offline\n"
    )
    found = {facts.spec: facts for facts in adb.reachable()}
    assert found[f"adb:{SERIAL}"].name == "Pixel 7 Pro" and not found[f"adb:{SERIAL}"].reason
    assert "allowed" in found["adb:0123"].reason and "unlock" in found["adb:0123"].hint
    assert "USB" in found["adb:4567"].reason and found["adb:89"].reason == "it does not answer"
    assert len(found) == 4


def test_a_launch_of_benchmark_model(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    tiny = model("litert")
    assert device.units(tiny) == (Unit.CPU, Unit.GPU, Unit.NPU)
    told: list[tuple[str, float, float | None]] = []
    device.send(tiny, lambda *words: told.append(words))
    assert told[-1] == ("copying to the device", 7000.0, 7000.0)
    found = device.launch(tiny, dataclasses.replace(RUNS, threads=4, affinity=(4, 5, 6, 7)))
    assert found.centre_ms == pytest.approx(33.2094) and found.statistic == "mean" and found.threads == 4
    assert (server.root / "mask").read_text() == "f0\n"
    assert found.before and found.after and not found.dropped
    assert (found.before.mhz, found.before.governor, found.before.celsius) == (2326.5, "sched_pixel", 41.5)
    assert found.after.seconds > found.before.seconds
    ran = [json.loads(line) for line in (server.root / "ran").read_text().splitlines()]
    assert {"--num_runs=3", "--warmup_runs=2", "--num_threads=4"} <= set(ran[-1])


def test_others_are_busy(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    """Between the end of one launch and the start of the next nothing of ours runs, so all of it is others'."""
    tiny = model("litert")
    device.launch(tiny, RUNS)
    (server.root / "proc/stat").write_text("cpu  5100 0 100 5800 0 0 0 0 0 0\n")  # 10000 ticks more, of which 5000 with work
    found = device.launch(tiny, RUNS)
    assert found.before and found.before.busy is not None and found.before.busy == pytest.approx(0.5)


def test_a_launch_of_executor_runner_is_read_from_the_log_of_its_process(both: AdbDevice, model: Callable[..., Model]) -> None:
    tiny = model("executorch")
    assert both.units(tiny) == (Unit.CPU,)
    found = both.launch(tiny, RUNS)
    assert found.times_ms == (10.0, 11.0, 10.5) and found.warm_ms == 29.49 and found.first_ms == 30.5
    with pytest.raises(DeviceFault, match=r"cannot run on gpu there; it can on: cpu"):
        both.launch(tiny, Asked(Unit.GPU))


def test_a_longer_run_is_launch_behind_launch(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    told: list[Moment] = []
    moments = device.sustain(model("litert"), RUNS, 0.5, told.append)
    assert tuple(told) == moments and len(moments) >= 1
    assert moments[0].runs == 50 and moments[0].p50_ms == pytest.approx(33.2094) and moments[0].conditions.celsius == 41.5
    measured = [line for line in (server.root / "ran").read_text().splitlines() if "--num_runs=3" in line]
    assert "--warmup_runs=2" in measured[0] and all("--warmup_runs=0" in line for line in measured[1:])


@pytest.mark.parametrize("runtime", ["litert", "executorch"])
def test_answers_are_those_of_the_images(
    both: AdbDevice, model: Callable[..., Model], runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adb, "BATCH", 3)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 8, 3), np.uint8)
    floats = normalise(pixels, PLAIN)
    given = floats.transpose(0, 2, 3, 1) if runtime == "litert" else floats
    found = both.answers(model(runtime), Asked(), pixels)
    wanted = [np.frombuffer(android_stub.answer(image.tobytes(), "float32"), np.float32) for image in given]
    assert found.dtype == np.float32 and found.shape == (5, android_stub.CLASSES)
    assert (found == np.stack(wanted)).all()


def test_pixels_go_in_as_they_are(server: Any, tmp_path: Path, model: Callable[..., Model]) -> None:
    tool = program(tmp_path / "tool", "benchmark_model", "usage_interpreter.txt", "tflite_2.3_cpu.txt", takes="uint8")
    device = open_adb(None, Programs(benchmark_model=tool))
    try:
        pixels = np.random.default_rng(2).integers(0, 256, (2, 6, 8, 3), np.uint8)
        found = device.answers(model("litert", Port("image", "uint8", (1, 6, 8, 3))), Asked(), pixels)
        assert found[:, 0].tolist() == pixels[:, 0, 0, 0].tolist() and found[:, 2].tolist() == [144.0, 144.0]
    finally:
        device.close()


def test_another_program_may_answer(server: Any, tmp_path: Path, model: Callable[..., Model]) -> None:
    compiled = program(tmp_path / "compiled", "benchmark_model", "usage_compiled_model.txt", "litert_2_cpu.txt")
    interpreter = program(tmp_path / "interpreter", "benchmark_model", "usage_interpreter.txt", "tflite_2.3_cpu.txt")
    pixels = np.zeros((1, 6, 8, 3), np.uint8)
    alone = open_adb(SERIAL, Programs(benchmark_model=compiled))
    try:
        assert alone.launch(model("litert"), RUNS).statistic == "median"
        with pytest.raises(DeviceFault, match="takes no images") as fault:
            alone.answers(model("litert"), Asked(), pixels)
        assert "interpreter" in fault.value.hint
    finally:
        alone.close()
    both = open_adb(SERIAL, Programs(benchmark_model=compiled, answering=interpreter))
    try:
        assert both.answers(model("litert"), Asked(), pixels).shape == (1, 4)
    finally:
        both.close()


def test_no_name_of_the_user_reaches_a_shell(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    device.launch(model("litert"), RUNS)
    device.answers(model("litert"), Asked(), np.zeros((1, 6, 8, 3), np.uint8))
    assert not [
        command for command in server.commands if "a b" in command or "bench mark" in command or "rm -rf $HOME" in command
    ]
    (folder,) = [name for name in there(server) if name != "edgevit-lock"]
    names = sorted(path.name for path in (server.root / "data/local/tmp" / folder).iterdir())
    assert all(android_folder.SAFE.fullmatch(name) for name in names) and len(names) >= 4


def test_nothing_is_left(server: Any, programs: Programs, model: Callable[..., Model]) -> None:
    device = open_adb(SERIAL, programs)
    device.launch(model("litert"), RUNS)
    assert len(there(server)) == 2
    device.close()
    assert there(server) == []
    device.close()
    kept = open_adb(SERIAL, programs)
    kept.close(keep=True)
    assert len(there(server)) == 1 and there(server)[0] != "edgevit-lock"


def test_the_second_of_two_runs_hears_of_the_first(server: Any, device: AdbDevice, programs: Programs) -> None:
    with pytest.raises(DeviceFault, match=rf"{SERIAL} is taken by .* process \d+, since 20.* UTC, run ") as fault:
        open_adb(SERIAL, programs)
    assert f"adb -s {SERIAL} shell rm -r /data/local/tmp/edgevit-lock" in fault.value.hint
    assert len(there(server)) == 2  # the first one's
    device.close()
    (server.root / "data/local/tmp/edgevit-lock").mkdir()  # one who was cut off before it said who it is
    with pytest.raises(DeviceFault, match="a run that did not say whose"):
        open_adb(SERIAL, programs)


def test_a_program_for_another_processor_is_never_sent(server: Any, tmp_path: Path) -> None:
    wrong = program(tmp_path / "tool", "benchmark_model", "usage_interpreter.txt", "tflite_2.3_cpu.txt", machine=62)
    with pytest.raises(DeviceFault, match="tool is built for x86_64, and the device takes arm64-v8a"):
        open_adb(SERIAL, Programs(benchmark_model=wrong))
    with pytest.raises(BadInput, match="no such program"):
        open_adb(SERIAL, Programs(executor_runner=tmp_path / "absent"))
    assert there(server) == []


def test_a_program_that_is_another_leaves_nothing(server: Any, tmp_path: Path) -> None:
    other = program(tmp_path / "tool", "executor_runner", "usage_executor_runner.txt", "executorch_1.5_log.txt")
    with pytest.raises(DeviceFault, match="no benchmark_model that is known here"):
        open_adb(SERIAL, Programs(benchmark_model=other))
    assert there(server) == []


def test_what_no_program_runs(server: Any, model: Callable[..., Model]) -> None:
    device = open_adb(SERIAL, Programs())
    try:
        with pytest.raises(DeviceFault, match="needs benchmark_model") as fault:
            device.units(model("litert"))
        assert fault.value.hint.startswith("--benchmark-model PATH; get it: https://")
        with pytest.raises(DeviceFault, match="it is for coreml"):
            device.send(model("coreml"), silent)
        assert device.units(model("coreml")) == ()
    finally:
        device.close()


@pytest.mark.parametrize(("fault", "away"), [("push", 0.3), ("shell", 0.3), ("pull", 0.0)])
def test_a_cable_that_is_pulled_for_a_moment(
    server: Any, device: AdbDevice, model: Callable[..., Model], fault: str, away: float
) -> None:
    """In copying, in running, in fetching: the step is begun again, and what comes out is the same."""
    tiny = model("litert")
    pixels = np.random.default_rng(3).integers(0, 256, (2, 6, 8, 3), np.uint8)
    device.send(tiny, silent) if fault != "push" else None
    setattr(server.faults, fault, 1)
    server.faults.away = away
    found = device.launch(tiny, RUNS)
    answers = device.answers(tiny, Asked(), pixels)
    assert getattr(server.faults, fault) == 0
    assert found.runs == 50 and answers.shape == (2, 4)
    assert answers[:, 0].tolist() == normalise(pixels, PLAIN)[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("fault", ["push", "shell"])
def test_a_device_that_does_not_come_back(
    server: Any, device: AdbDevice, model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    device._adb.patience = 0.3
    setattr(server.faults, fault, 1)
    server.faults.away = 60.0
    with pytest.raises(DeviceLost, match="did not come back") as lost:
        device.launch(model("litert"), RUNS)
    assert "cable" in lost.value.hint
    with pytest.raises(DeviceLost) as left:
        device.close()
    assert "edgevit-lock" in left.value.hint
    device._folder._taken = True  # so that the fixture's own close finds it


def test_a_cable_that_breaks_each_time(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    server.faults.shell = 99
    with pytest.raises(DeviceLost):
        device.launch(model("litert"), RUNS)
    assert server.faults.shell == 99 - adb_shell.TRIES


def test_a_full_device(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    server.faults.full = 1
    with pytest.raises(DeviceFault, match="no space left") as fault:
        device.send(model("litert"), silent)
    assert fault.value.hint == "free some space on the device" and not isinstance(fault.value, DeviceLost)
    device.send(model("litert"), silent)


def test_what_arrives_altered_is_sent_again_once(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    server.faults.altered = 1
    device.send(model("litert"), silent)
    server.faults.altered = 2
    with pytest.raises(DeviceFault, match="is not what was sent"):
        device._folder.put(model("litert").file, "another", model("litert").sha256)


BEHAVES = {
    "killed": "was ended by SIGKILL",
    "fails ERROR: Failed to apply GPU delegate.": "failed with status 1: ERROR: Failed to apply GPU delegate",
    "says \x1b[2Jwhatever": "told no times; i",
    "flood": "not done before it had said 1 MB",
}


@pytest.mark.parametrize("behaves", BEHAVES)
@pytest.mark.parametrize("runtime", ["litert", "executorch"])
def test_a_program_that_breaks(
    server: Any, both: AdbDevice, model: Callable[..., Model], behaves: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adb_shell, "MOST", 1 << 20)
    tiny = model(runtime)
    (server.root / "behaves").write_text(behaves)
    with pytest.raises(DeviceFault, match=BEHAVES[behaves]) as fault:
        both.launch(tiny, RUNS)
    assert fault.value.message.isprintable()
    (server.root / "behaves").unlink()
    assert both.launch(tiny, RUNS).runs > 0  # the next one is not the worse for it


@pytest.mark.parametrize("behaves", ["killed", "fails E no such kernel", "says nothing of it", "once"])
@pytest.mark.parametrize("runtime", ["litert", "executorch"])
def test_answers_of_a_program_that_breaks(
    server: Any, both: AdbDevice, model: Callable[..., Model], behaves: str, runtime: str
) -> None:
    tiny = model(runtime)
    (server.root / "behaves").write_text(behaves)
    with pytest.raises(DeviceFault, match=r"SIGKILL|no such kernel|wrote no answer; it said: nothing of it"):
        both.answers(tiny, Asked(), np.zeros((2, 6, 8, 3), np.uint8))


def test_a_program_that_hangs_is_ended(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    tiny = model("litert")
    device.send(tiny, silent)
    (server.root / "behaves").write_text("hang")
    device.limit = 1.0
    with pytest.raises(DeviceFault, match=r"benchmark_model on R5CT10ABCDE was ended: not done after 1 seconds"):
        device.launch(tiny, RUNS)
    last = next(child for child in reversed(server._children) if "--num_runs=3" in child.args[-1])
    last.wait(10)  # it would sleep for a minute
    assert not list((server.root / "data/local/tmp").glob("*/pid*"))


def test_what_still_runs_ends_with_the_bench(server: Any, device: AdbDevice, model: Callable[..., Model]) -> None:
    """As after Ctrl-C: the launch is given up here, and goes on there."""
    tiny = model("litert")
    device.send(tiny, silent)
    (server.root / "behaves").write_text("hang")
    faults: list[DeviceFault] = []

    def launch() -> None:
        try:
            device.launch(tiny, RUNS)
        except DeviceFault as fault:
            faults.append(fault)

    thread = threading.Thread(target=launch)
    thread.start()
    while not (server.root / "ran").read_text().count("--num_runs=3"):
        time.sleep(0.02)
    device.close()
    thread.join(20)
    assert not thread.is_alive() and "SIGKILL" in faults[0].message and there(server) == []


def test_a_shell_of_root_tells_a_cold_load(server: Any, programs: Programs, model: Callable[..., Model]) -> None:
    (server.root / "user").write_text("0\n")
    (server.root / "proc/sys/vm").mkdir(parents=True)
    device = open_adb(SERIAL, dataclasses.replace(programs, executor_runner=None))
    try:
        found = device.launch(model("litert"), RUNS)
    finally:
        device.close()
    assert found.dropped and found.cold_ms == found.warm_ms == 0.855
    assert (server.root / "proc/sys/vm/drop_caches").read_text() == "3\n"


def test_which_device_is_meant(server: Any, programs: Programs) -> None:
    with pytest.raises(DeviceFault, match=rf"no device nobody; adb lists: {SERIAL}"):
        open_adb("nobody", programs)
    server.others = "SECOND device model:Other\n"
    with pytest.raises(DeviceFault, match=rf"several devices are connected: adb:{SERIAL}, adb:SECOND"):
        open_adb(None, programs)
    server.others, server.state = "", "unauthorized"
    with pytest.raises(DeviceFault, match="has not allowed this computer") as fault:
        open_adb(None, programs)
    assert "unlock" in fault.value.hint
    with pytest.raises(NotInstalled, match="no adb at /nowhere/adb") as absent:
        open_adb(None, Programs(adb=Path("/nowhere/adb")))
    assert "platform" in absent.value.hint


def test_a_device_of_the_older_shell_protocol(server: Any, programs: Programs, model: Callable[..., Model]) -> None:
    """Android 6 and before: one stream, and no exit status from adb."""
    server.features = "cmd"
    device = open_adb(SERIAL, programs)
    try:
        assert device.launch(model("litert"), RUNS).runs == 50
        (server.root / "behaves").write_text("fails ERROR: broken")
        with pytest.raises(DeviceFault, match="failed with status 1: ERROR: broken"):
            device.launch(model("litert"), RUNS)
    finally:
        device.close()
