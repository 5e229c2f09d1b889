"""Devices with an agent: this machine and one behind a real sshd on loopback, by the same tests; and what goes wrong there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgevit.data.preprocess import normalise
from edgevit.errors import BadInput, DeviceFault, DeviceLost
from edgevit.types import Asked, Device, DeviceFacts, Input, Launch, Model, Moment, Preprocess, Unit, silent
from targets import devices
from targets.devices import link, linked, ssh
from targets.devices.linked import LinkedDevice
from tests.targets import ssh_server, stub_litert
from tests.targets.ssh_server import Proxy, Server

STEPS = Preprocess(resize=(4, 4), crop=(4, 4), interpolation="bilinear", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
TEN = Asked(runs=10, warmup=2, threads=1)
needs_sshd = pytest.mark.skipif(ssh_server.SSHD is None, reason="no sshd is installed here (Debian: openssh-server)")


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub_litert.install(tmp_path_factory.mktemp("stub"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if ssh_server.SSHD is None:
        pytest.skip("no sshd is installed here (Debian: openssh-server)")
    found = ssh_server.start(tmp_path_factory.mktemp("sshd"))
    yield found
    found.process.terminate()
    found.process.wait()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test, so that no two of them hold the same device."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / f"edgevit-device-{os.getuid()}"


@pytest.fixture
def python(tmp_path: Path, stub: Path, home: Path) -> Path:
    """The device's Python: this one, with the stand-in for its runtime."""
    found = tmp_path / "the device's python; it has spaces"
    found.write_text(
        f'#!/bin/sh\nPYTHONPATH="{stub}" XDG_CACHE_HOME="{home.parent}" TMPDIR="{tmp_path}" exec "{sys.executable}" "$@"\n'
    )
    found.chmod(0o755)
    return found


def spec(server: Server, python: Path, port: int | None = None) -> str:
    from urllib.parse import quote

    return f"ssh://127.0.0.1:{port or server.port}?python={quote(str(python))}&config={quote(str(server.config))}"


@pytest.fixture(params=["local", pytest.param("ssh", marks=needs_sshd)])
def connected(
    request: pytest.FixtureRequest, stub: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Device]]:
    """Connects to the device of each kind; what was connected is closed in the end."""
    monkeypatch.setenv("PYTHONPATH", str(stub))
    made: list[Device] = []

    def connect() -> Device:
        name = spec(request.getfixturevalue("server"), python) if request.param == "ssh" else "local"
        made.append(devices.connect(name))
        return made[-1]

    yield connect
    for device in made:
        device.close()


def model(folder: Path, behave: str, name: str = "model.tflite") -> Model:
    file = folder / name
    file.write_text(json.dumps({"behave": behave, "filler": "x" * 1000}))
    return Model(name, file, hashlib.sha256(file.read_bytes()).hexdigest(), "litert", Input.TENSOR, STEPS)


def sent(device: Device, found: Model) -> Model:
    device.send(found, silent)
    return found


def test_a_launch_tells_all_that_it_should(connected: Callable[[], Device], tmp_path: Path) -> None:
    device = connected()
    assert device.facts.cores == os.cpu_count() and device.facts.processor and device.facts.runtimes["numpy"]
    found = device.launch(sent(device, model(tmp_path, "slow")), TEN)
    assert len(found.times_ms) == found.runs == 10 and min(found.times_ms) >= 20
    assert found.first_ms and found.first_ms >= 20 and found.cold_ms is not None and found.warm_ms is not None
    assert found.before and found.after and found.after.seconds > found.before.seconds > 0
    assert found.peak_bytes and found.before_bytes and found.peak_bytes >= found.before_bytes > 1 << 20
    assert found.threads == 1 and found.warmup == 2 and found.statistic == "median"


def test_answers_are_those_of_training_s_own_arithmetic(connected: Callable[[], Device], tmp_path: Path) -> None:
    device = connected()
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    found = device.answers(sent(device, model(tmp_path, "well")), TEN, pixels)
    assert np.array_equal(found, normalise(pixels, STEPS).transpose(0, 2, 3, 1).reshape(7, -1))


def test_a_sustained_run_is_told_moment_by_moment(
    connected: Callable[[], Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linked, "EVERY", 0.1)
    device, heard = connected(), list[Moment]()
    found = device.sustain(sent(device, model(tmp_path, "slow")), TEN, 0.5, heard.append)
    assert list(found) == heard and 3 <= len(found) <= 6 and all(one.p50_ms >= 20 and one.runs for one in found)


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        ("hang", "the runner hung: not done after 2 s"),
        ("die", "the runner was ended: SIGKILL, perhaps out of memory"),
        ("garbage", "the runner printed garbage"),
        ("raise", "the runtime failed: ValueError: Model provided has"),
    ],
)
def test_a_runner_that_goes_wrong_is_named_and_the_next_goes_on(
    connected: Callable[[], Device], tmp_path: Path, behave: str, words: str
) -> None:
    device = connected()
    assert isinstance(device, LinkedDevice)
    bad, good = sent(device, model(tmp_path, behave, "bad.tflite")), sent(device, model(tmp_path, "well", "good.tflite"))
    device._limit = 2 - TEN.runs - TEN.warmup
    with pytest.raises(DeviceFault) as raised:
        device.launch(bad, TEN)
    assert words in raised.value.message and "\n" not in raised.value.message
    device._limit = 60
    assert len(device.launch(good, TEN).times_ms) == 10


def test_an_absent_runtime_says_so(connected: Callable[[], Device], tmp_path: Path) -> None:
    device = connected()
    found = model(tmp_path, "well")
    device.send(found, silent)
    other = Model(found.artifact, found.file, found.sha256, "coreml", Input.TENSOR, STEPS)
    with pytest.raises(DeviceFault, match="the runtime is absent: Core ML is on a Mac alone"):
        device.launch(other, TEN)
    assert device.units(other) == (Unit.CPU, Unit.GPU, Unit.NPU, Unit.ALL) and device.units(found) == (Unit.CPU,)


def test_names_with_all_sorts_of_characters(connected: Callable[[], Device], tmp_path: Path) -> None:
    device = connected()
    folder = tmp_path / "a folder; touch pwned\n'\"$(touch pwned)"
    folder.mkdir()
    found = sent(device, model(folder, "well", "mo del';\n\".tflite"))
    assert len(device.launch(found, TEN).times_ms) == 10
    assert not list(tmp_path.rglob("pwned"))


def test_nothing_is_left_behind_unless_asked(connected: Callable[[], Device], tmp_path: Path, home: Path) -> None:
    device = connected()
    device.launch(sent(device, model(tmp_path, "well")), TEN)
    assert [path for path in home.iterdir() if path.is_dir()]
    device.close()
    assert [path.name for path in home.iterdir()] == ["lock"]
    device = connected()
    sent(device, model(tmp_path, "well"))
    device.close(keep=True)
    assert [path for path in home.iterdir() if path.is_dir()]


def test_two_runs_on_one_device_at_once(connected: Callable[[], Device], tmp_path: Path) -> None:
    first = connected()
    with pytest.raises(DeviceFault, match=r"it is taken: another bench runs on it: process \d+, since") as raised:
        connected()
    assert "--wait" in raised.value.hint
    assert len(first.launch(sent(first, model(tmp_path, "well")), TEN).times_ms) == 10
    first.close()
    assert connected().facts.cores


def test_the_agent_ends_with_its_parent_and_removes_what_it_had(tmp_path: Path, stub: Path, home: Path) -> None:
    """Killed, not closed: the parent has no time to say a word."""
    program = "import time; from targets import devices; devices.connect('local'); print('up', flush=True); time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(stub)}
    )
    assert parent.stdout and parent.stdout.readline() == b"up\n"
    assert [path for path in home.iterdir() if path.is_dir()]
    parent.kill()
    parent.wait()
    assert emptied(home)


def emptied(home: Path) -> bool:
    """Whether what was sent is gone before long."""
    ends = time.monotonic() + 20
    while [path for path in home.iterdir() if path.is_dir()] and time.monotonic() < ends:
        time.sleep(0.1)
    return [path.name for path in home.iterdir()] == ["lock"]


def test_stopped_in_the_middle_of_a_launch_it_leaves_at_once(connected: Callable[[], Device], tmp_path: Path, home: Path) -> None:
    device = connected()
    found = sent(device, model(tmp_path, "hang"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            device.launch(found, TEN)
    finally:
        signal.signal(signal.SIGALRM, before)
    device.close()
    assert emptied(home)


@needs_sshd
def test_a_run_that_does_not_come_back_is_cleared_away(server: Server, python: Path, home: Path, tmp_path: Path) -> None:
    name, connection = ssh._link(spec(server, python))
    device = LinkedDevice(name, connection, near=False, wait=0.0, grace=2.0)
    sent(device, model(tmp_path, "well"))
    assert connection._process
    ended = connection._process
    assert ended.stdin
    ended.stdin.close()  # without a word
    assert ended.wait(10) == 0, "the agent let go of the connection"
    assert [path for path in home.iterdir() if path.is_dir()], "it waits for a while"
    assert emptied(home)


def full(place: Path) -> None:
    """Make a file system of its own for the device's cache, with room for half a megabyte."""
    place.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("no file system of a given size can be mounted here")


@needs_sshd
def test_a_full_disk_is_named_and_nothing_half_stays(server: Server, python: Path, home: Path, tmp_path: Path) -> None:
    full(home.parent)
    try:
        device = devices.connect(spec(server, python))
        big = tmp_path / "big.tflite"
        big.write_bytes(os.urandom(1 << 20))
        found = Model("big", big, hashlib.sha256(big.read_bytes()).hexdigest(), "litert", Input.TENSOR, STEPS)
        with pytest.raises(DeviceFault, match=r"its disk is full: .*MB free in"):
            device.send(found, silent)
        assert not list(home.rglob("*.part"))
        assert len(device.launch(sent(device, model(tmp_path, "well")), TEN).times_ms) == 10
        device.close()
    finally:
        subprocess.run(["umount", str(home.parent)], check=True)


@pytest.fixture
def proxied(server: Server, python: Path) -> Iterator[Callable[..., tuple[Proxy, Device]]]:
    """A device behind a proxy that cuts its first connections after so many bytes each."""
    made: list[tuple[Proxy, Device]] = []

    def connect(*cut_after: int) -> tuple[Proxy, Device]:
        proxy = Proxy(server.port, list(cut_after))
        proxy.start()
        ssh_server.trust(server.folder, proxy.port)
        made.append((proxy, devices.connect(spec(server, python, proxy.port))))
        return made[-1]

    yield connect
    for proxy, device in made:
        device.close()
        proxy.stop()


@needs_sshd
def test_cut_in_copying_it_goes_on_where_it_was(
    proxied: Callable[..., tuple[Proxy, Device]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, device = proxied(3 << 20, 2 << 20)
    offsets: list[int] = []
    place = LinkedDevice._place

    def counted(self: LinkedDevice, name: str, done: int, chunk: bytes, wanted: str) -> int:
        offsets.append(done)
        return place(self, name, done, chunk, wanted)

    monkeypatch.setattr(LinkedDevice, "_place", counted)
    big = tmp_path / "big.tflite"
    big.write_bytes(os.urandom(8 << 20))
    device.send(Model("big", big, hashlib.sha256(big.read_bytes()).hexdigest(), "litert", Input.TENSOR, STEPS), silent)
    assert proxy.cuts == 2 and proxy.connections == 3 and offsets == [n << 20 for n in range(8)]


def cut_soon(proxy: Proxy, device: Device, after: float) -> None:
    import threading

    def cut() -> None:
        time.sleep(after)
        assert isinstance(device, LinkedDevice) and device._link._process
        device._link._process.kill()
        proxy.cuts += 1

    threading.Thread(target=cut, daemon=True).start()


@needs_sshd
def test_cut_in_running_the_launch_is_done_again(proxied: Callable[..., tuple[Proxy, Device]], tmp_path: Path) -> None:
    proxy, device = proxied()
    found = sent(device, model(tmp_path, "slow"))
    cut_soon(proxy, device, 0.5)
    launch: Launch = device.launch(found, Asked(runs=60, warmup=1))
    assert proxy.cuts == 1 and proxy.connections == 2 and len(launch.times_ms) == 60


@needs_sshd
def test_cut_in_fetching_the_answers_are_whole(
    proxied: Callable[..., tuple[Proxy, Device]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, device = proxied()
    found, cuts = sent(device, model(tmp_path, "well")), [True]
    read = link.Link._message

    def torn(self: link.Link, line: bytes, stream: object) -> link.Message:
        if b'"bytes"' in line and cuts:
            cuts.pop()
            raise ValueError("cut within a message")
        return read(self, line, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(link.Link, "_message", torn)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    answers = device.answers(found, TEN, pixels)
    assert not cuts and proxy.connections == 2
    assert np.array_equal(answers, normalise(pixels, STEPS).transpose(0, 2, 3, 1).reshape(7, -1))


@needs_sshd
def test_a_connection_that_does_not_come_back_is_a_lost_device(
    proxied: Callable[..., tuple[Proxy, Device]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "AGAIN", (0.1, 0.1))
    proxy, device = proxied()
    found = sent(device, model(tmp_path, "well"))
    proxy.stop()
    assert isinstance(device, LinkedDevice) and device._link._process
    device._link._process.kill()
    with pytest.raises(DeviceLost, match="the connection was cut and did not come back"):
        device.launch(found, TEN)


@needs_sshd
def test_a_changed_host_key_is_refused_at_once(server: Server, python: Path) -> None:
    known = server.folder / "known_hosts"
    before = known.read_text()
    try:
        server.new_host_key()
        started = time.monotonic()
        with pytest.raises(DeviceFault, match="its host key is not the one that is known") as raised:
            devices.connect(spec(server, python))
        assert "ssh-keygen -R" in raised.value.hint and time.monotonic() - started < 10
        known.write_text("")
        with pytest.raises(DeviceFault, match="its host key is not known"):
            devices.connect(spec(server, python))
    finally:
        known.write_text(before)


@needs_sshd
def test_a_python_that_is_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DeviceFault, match="no Python there by the name"):
        devices.connect(spec(server, tmp_path / "nowhere"))


@needs_sshd
def test_a_shell_that_prints_without_end(server: Server, tmp_path: Path) -> None:
    loud = tmp_path / "loud"
    loud.write_text("#!/bin/sh\nexec yes 'welcome to this machine'\n")
    loud.chmod(0o755)
    with pytest.raises(DeviceFault, match="it prints where the agent should speak"):
        devices.connect(spec(server, loud))


@pytest.mark.parametrize(
    "name",
    [
        "", "remote", "ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://host:port", "ssh://host/path", "ssh://h?x=1",
        "ssh://h?config=/nowhere", "adb:a;b", "local:x", "ios:", "ssh://h$(x)", "http://host",
    ],
)  # fmt: skip
def test_names_that_mean_no_device(name: str) -> None:
    with pytest.raises(BadInput):
        devices.kind(name)


def test_no_phone_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adb that lists nothing would be no line at all, as if nobody had asked it."""
    monkeypatch.setattr(devices, "_file", lambda name: SimpleNamespace(reachable=lambda: ()))
    monkeypatch.setattr(devices, "asked", lambda spec: DeviceFacts(spec))
    here, phones = devices.reachable(())
    assert (here.spec, phones.spec, phones.reason) == ("local", "adb", "it lists no device") and "USB debugging" in phones.hint


def test_names_that_do() -> None:
    assert devices.kind("local") == "local" and devices.kind("ssh://pi@10.0.0.5:2222") == "ssh"
    assert devices.kind("adb") == devices.kind("adb:emulator-5554") == "adb" and devices.kind("ios:00008110-00") == "ios"
    assert ssh.place("ssh://pi@[fe80::1]:22?python=/opt/x").host == "pi@[fe80::1]"


def test_hostile_words_of_a_device_are_refused(
    connected: Callable[[], Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = connected()
    found = sent(device, model(tmp_path, "well"))
    for told in ({"times_ms": "many"}, [], {"times_ms": [1.0], "peak_bytes": {"a": 1}}):
        monkeypatch.setattr(LinkedDevice, "_work", lambda *_, told=told, **__: (told, b""))
        with pytest.raises(DeviceFault, match="what it says is no Launch"):
            device.launch(found, TEN)
    monkeypatch.setattr(LinkedDevice, "_work", lambda *_, **__: ({"shape": [7, 99]}, b"\0" * 12))
    with pytest.raises(DeviceFault, match="the answers are not as many"):
        device.answers(found, TEN, np.zeros((7, 4, 4, 3), np.uint8))
