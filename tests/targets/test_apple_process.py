"""The process that asks Core ML: what it says is read strictly, and its end by hanging or crashing is a plain error."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from edgevit.errors import DeviceFault, DeviceLost
from edgevit.types import Conditions, Launch, Moment, Placed, Unit
from targets.devices.apple import hints as apple_hints
from targets.devices.apple import process as apple_process
from targets.devices.apple.elsewhere import elsewhere
from targets.devices.apple.order import Order, Said, line

MOMENT = Moment(3, 1.5, Conditions(2.0))


def says(*lines: bytes, then: str = "") -> str:
    """A program in the place of the child's own."""
    return f"import sys, os, time, signal; sys.stdin.readline(); [os.write(1, x) for x in {lines!r}]; {then or 'pass'}"


def ask(program: str, seconds: float = 30.0, verb: str = "launch", **given: object) -> Said:
    return apple_process.ask(Order(verb), seconds, program=program, **given)  # type: ignore[arg-type]


def test_moments_come_before_the_last_word() -> None:
    heard: list[Moment] = []
    last = Said(launch=Launch(times_ms=(1.0,), runs=1))
    assert ask(says(line(Said(moment=MOMENT)), line(last)), heard=heard.append) == last
    assert heard == [MOMENT]


def test_a_fault_keeps_its_hint_and_what_was_printed() -> None:
    program = "import os; os.write(2, b'devicectl said'); " + says(line(Said(fault="locked", hint="unlock it")))
    with pytest.raises(DeviceFault, match=r"^macos: locked$") as caught:
        ask(program)
    assert caught.value.hint == "unlock it" and "devicectl said" in caught.value.log
    with pytest.raises(DeviceFault, match=r"^ios: locked$"):
        ask(program, verb="phones")


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\n", b"{}x\n", b"[]\n", b'{"launch": {"times_ms": ["a"]}}\n', b'{"launch": {"times_ms": [NaN]}}\n',
        b"[" * 9999 + b"\n",
    ],
    ids=["bytes", "no json", "list", "text", "nan", "deep"],
)  # fmt: skip
def test_garbage_is_a_fault(said: bytes) -> None:
    with pytest.raises(DeviceFault, match="makes no sense"):
        ask(says(said))


def test_a_crash_is_a_fault() -> None:
    with pytest.raises(DeviceFault, match="died: SIGABRT"):
        ask(says(then="os.abort()"))
    with pytest.raises(DeviceFault, match="died: exit code 7"):
        ask(says(then="os._exit(7)"))


def test_what_hangs_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    """devicectl and xcodebuild are started by coremltools, and would go on without it."""
    note = tmp_path / "pid"
    started = "import subprocess as s; c = s.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=s.DEVNULL)"
    program = says(then=f"{started}; open({str(note)!r}, 'w').write(str(c.pid)); time.sleep(60)")
    with pytest.raises(DeviceFault, match="launch was not done after 1 seconds"):
        ask(program, seconds=1.0)
    pid = int(note.read_text())
    for _ in range(100):
        if not _runs(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("its child runs on")


def _runs(pid: int) -> bool:
    """A zombie, which nobody here can wait for, runs no more."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_libraries_print_is_no_answer() -> None:
    noisy = "lambda order, tell: (print('noise'), child.Said(fault=order.verb))[1]"
    place = apple_process.PROGRAM.partition("; ")[2].partition("; ")[0]
    program = f"import sys; {place}; from targets.devices.apple import child; child.done = {noisy}; child.main()"
    with pytest.raises(DeviceFault, match=r"^macos: answers$") as caught:
        ask(program, verb="answers")
    assert caught.value.log == "noise\n"


@pytest.mark.slow  # coremltools takes its time to be imported
@pytest.mark.skipif(sys.platform == "darwin", reason="Xcode may be here")
def test_the_real_child_says_what_is_missing() -> None:
    """Its own program, coremltools and all."""
    pytest.importorskip("coremltools")
    with pytest.raises(DeviceFault, match=r"^ios: ValueError: The 'devicectl' command is required") as caught:
        apple_process.ask(Order("phones"), 120.0)
    assert "Xcode 15" in caught.value.hint


def test_what_is_said_is_one_plain_line() -> None:
    class DeviceCtlError(Exception):
        message, error_code = b"\n\x1b[31mERROR: the device is locked.\x1b[0m\nmore\n", 1

    said = apple_hints.fault(DeviceCtlError())
    assert said.fault == "DeviceCtlError: [31mERROR: the device is locked. [0m" and "unlock" in said.hint
    assert apple_hints.fault(ValueError()).fault == "ValueError: no message"
    assert len(apple_hints.plain("x" * 9999)) == apple_hints.MOST


def test_a_connection_that_ended_is_told_from_other_faults() -> None:
    assert not apple_hints.fault(ValueError("the device is locked")).lost
    last = apple_hints.fault(ValueError("ERROR: The device was disconnected."))
    with pytest.raises(DeviceLost, match="was disconnected"):
        ask(says(line(last)))


def test_what_is_elsewhere_is_counted_by_kind() -> None:
    kinds = ["softmax"] * 3 + ["a", "b", "c", "d", "e"]
    placed = [Placed(kind, "", Unit.CPU) for kind in kinds] + [Placed("linear", "", Unit.NPU)] * 4
    assert elsewhere(placed, Unit.NPU) == "8 of 12 operators planned for CPU: softmax 3, a 1, b 1, c 1, d 1 and 1 kinds more"
    assert elsewhere(placed, Unit.ALL) == elsewhere(placed[:8], Unit.CPU) == elsewhere([], Unit.GPU) == ""
    both = [Placed("a", "", Unit.CPU), *[Placed("b", "", Unit.GPU)] * 2, Placed("c", "", Unit.NPU)]
    assert elsewhere(both, Unit.NPU) == "2 of 4 operators planned for GPU: b 2; 1 of 4 operators planned for CPU: a 1"
