"""Core ML asked in a process of its own: what hangs is stopped, what crashes is a plain error, and each launch starts anew."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO

import msgspec

from edgevit import record
from edgevit.errors import DeviceFault, DeviceLost
from edgevit.limit import Limit
from edgevit.types import Moment
from targets.devices.apple.order import Order, Said, line

PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from targets.devices.apple.child import main; main()"
"""It looks for modules where the parent does, and so not in the working directory, where a file of the user's may be json.py."""
LONGEST = 64 << 20
"""Bytes of one line; the plan of the largest model has some hundred thousand."""
TAIL = 2_000
"""Characters of what the libraries printed, from its end, that an error carries."""


class _Group(subprocess.Popen[bytes]):
    """A process that ends with all that it started: devicectl and xcodebuild, which would go on without it."""

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def ask(order: Order, seconds: float, heard: Callable[[Moment], None] | None = None, program: str = PROGRAM) -> Said:
    """The process's last word on `order`, within so many seconds; `heard` gets each moment before it. Raises DeviceFault.

    Its temporary files go to a folder that ends with it: coremltools leaves whole packages there.
    """
    scratch = tempfile.TemporaryDirectory(prefix="edgevit-apple-", ignore_cleanup_errors=True)
    with scratch, tempfile.TemporaryFile() as log:
        child = _Group(
            [sys.executable, "-P", "-c", program, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": scratch.name},
            start_new_session=True,
        )
        limit = Limit(child, seconds)
        try:
            last = _listen(child, order, heard or (lambda _: None))
        finally:
            limit.stop()
            code = _end(child)
        return _kept(order, last, limit, code, log)


def _listen(child: subprocess.Popen[bytes], order: Order, heard: Callable[[Moment], None]) -> Said | None:
    """Until its last word, or None where it died without one. stdin stays open: the child leaves when it ends."""
    assert child.stdin is not None and child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(line(order))
        child.stdin.flush()
    while text := child.stdout.readline(LONGEST):
        said = _understood(text)
        if said.moment is None:
            return said
        heard(said.moment)
    return None


def _understood(text: bytes) -> Said:
    try:
        return record.decode(text, Said)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DeviceFault(
            f"what was measured makes no sense: {error}", "the device, or coremltools, gave no proper figures"
        ) from error


def _end(child: subprocess.Popen[bytes]) -> int:
    """Its exit code, where it had left by itself; else it is stopped. Waited for last: until then nobody gets its number."""
    child.kill()
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
    return child.wait()


def _kept(order: Order, last: Said | None, limit: Limit, code: int, log: IO[bytes]) -> Said:
    where = "ios" if order.udid or order.verb == "phones" else "macos"
    if last is None and limit.over:
        raise _fault(f"{where}: {order.verb} was not done after {limit.seconds:g} seconds, and was stopped", WAITS[where], log)
    if last is None:
        raise _fault(f"{where}: Core ML's process died: {_cause(code)}", "macOS keeps a report of it; Console shows it", log)
    if last.fault:
        raise _fault(f"{where}: {last.fault}", last.hint, log, DeviceLost if last.lost else DeviceFault)
    return last


WAITS = {
    "ios": "unlock the device, leave ModelRunner in front, and try again",
    "macos": "the Neural Engine's compiler may take long the first time; try again, or measure the other units",
}


def _fault(message: str, hint: str, log: IO[bytes], kind: type[DeviceFault] = DeviceFault) -> DeviceFault:
    log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL))
    error = kind(message, hint)
    error.log = log.read().decode(errors="replace")
    return error


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
