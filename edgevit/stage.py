"""One stage in a child process: its time, its peak memory, its log, its crash as a plain error.

Native converters abort, clash and leak, so each runs in a process of its own. The child (`edgevit.child`) reads one JSON line
{"job": "module:function", "arguments": {...}} from stdin, and writes JSON lines to a descriptor of its own:
{"progress": [label, done, total]}, then {"result": ...} or {"error": ...}. No pickle crosses the border. What the libraries
print lands in the log. When the parent dies, the child dies with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

import msgspec

from edgevit import errors, record, warm
from edgevit.errors import BadInput, EdgevitError, StageCrashed, StageFailed
from edgevit.limit import Limit
from edgevit.types import Progress, silent

T = TypeVar("T")
Child = subprocess.Popen[bytes] | warm.Forked
LOG_TAIL = 20_000
"""Characters of a failed stage's log that its error carries."""

DEFAULTS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin long while they wait make training ten times slower once another program wants the cores; threads that
    # sleep at once make it twice as slow on an idle machine. So they spin for some microseconds (docs/log.md has the figures).
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "5000",
}

PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from edgevit.child import begin; begin(int(sys.argv[1]))"
"""It looks for modules where the parent does, and so not in the working directory, where a file of the user's may be json.py."""


@dataclass(frozen=True)
class Finished(Generic[T]):
    """What a stage returned, how long it took (seconds) and the most memory it held (bytes)."""

    value: T
    seconds: float
    peak_bytes: int


class Children:
    """The children that several threads wait for: one word stops them all, and none starts after it.

    Each may run for so many `seconds`; None: for as long as it takes. Files of others may keep a reader busy for ever.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: set[Child] = set()
        self._stopped = False

    def run(self, job: str, returns: type[T], progress: Progress, **arguments: object) -> Finished[T]:
        """As `run` below, from a thread that lives as long as the child: it dies with the thread that started it."""
        started = time.monotonic()
        progress(f"starting to {job.rpartition(':')[2]}", 0, None)
        scratch = tempfile.TemporaryDirectory(prefix="edgevit-stage-", ignore_cleanup_errors=True)
        with scratch, tempfile.TemporaryFile("w+b") as log:
            child, messages = _start(job, arguments, log, scratch.name)
            limit = Limit(child, self._seconds)
            try:
                self._add(child)
                last, doing = _listen(messages, progress)
                code = child.wait()
                self._go_on()
            except BaseException:
                _stop(child)
                raise
            finally:
                limit.stop()
                self._remove(child)
                messages.close()
                if child.stdin:
                    child.stdin.close()
            limit.require_kept(job, last)
            if last is None or "result" not in last:
                raise _failure(job, code, last, doing, log)
        value = msgspec.convert(last["result"], returns, dec_hook=record._rich)
        return Finished(value, time.monotonic() - started, last["peak_bytes"])

    def _add(self, child: Child) -> None:
        with self._lock:
            self._running.add(child)
        self._go_on()

    def _remove(self, child: Child) -> None:
        with self._lock:
            self._running.discard(child)

    def _go_on(self) -> None:
        """Raise KeyboardInterrupt once they were stopped: whoever waits for one of them ends as by Ctrl-C, in order."""
        if self._stopped:
            raise KeyboardInterrupt

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            running = tuple(self._running)
        for child in running:
            child.terminate()
        for child in running:
            _stop(child)


def run(job: str, returns: type[T], progress: Progress = silent, **arguments: object) -> Finished[T]:
    """Run `job` ("module:function") in a child. An error of ours is raised here as itself; any other as StageFailed.

    The raised error's `log` holds the end of what the child printed.
    """
    return Children().run(job, returns, progress, **arguments)


def run_within(seconds: float, job: str, returns: type[T], progress: Progress = silent, **arguments: object) -> Finished[T]:
    """As `run`, for files that nobody trusts. Raises TookTooLong where the child is not done after so many seconds."""
    return Children(seconds).run(job, returns, progress, **arguments)


def _start(job: str, arguments: dict[str, object], log: IO[bytes], scratch: str) -> tuple[Child, IO[bytes]]:
    """Temporary files of the child go to the folder `scratch`: libraries leave whole models there, and so does a crash."""
    order = _encoded({"job": job, "arguments": arguments})
    read, write = os.pipe()
    environment = {**DEFAULTS, **os.environ, "TMPDIR": scratch}
    child: Child | None
    try:
        child = warm.fork(environment, log.fileno(), write) if job in warm.JOBS else None
        if child is None:
            child = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, str(write), *sys.path],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[write],
                env=environment,
            )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    assert child.stdin is not None
    child.stdin.write(order)
    child.stdin.flush()
    return child, os.fdopen(read, "rb")


def _encoded(order: dict[str, object]) -> bytes:
    """One line of JSON. Raises BadInput for the name of a file that is not UTF-8: no record of ours could hold it."""
    try:
        return msgspec.json.encode(order, enc_hook=record._plain) + b"\n"
    except UnicodeEncodeError as error:
        raise BadInput(f"not a name in UTF-8: {error.object}", "rename it: what edgevit records is UTF-8") from error


def _listen(messages: IO[bytes], progress: Progress) -> tuple[dict[str, Any] | None, str]:
    """Pass progress on until the child's last word, or None where it died without one; and what it last said it was doing."""
    doing = ""
    for line in messages:
        message = json.loads(line)
        if "progress" not in message:
            return typing.cast("dict[str, Any]", message), doing
        doing = message["progress"][0]
        progress(*message["progress"])
    return None, doing


def _stop(child: Child) -> None:
    child.terminate()
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _failure(job: str, code: int, last: dict[str, Any] | None, doing: str, log: IO[bytes]) -> EdgevitError:
    log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
    text = log.read().decode(errors="replace")
    error: EdgevitError
    if last is None:
        name = job.rpartition(":")[2]
        error = StageCrashed(f"{name} died: {_cause(code)}", "the log of the stage says more")
    else:
        kind = getattr(errors, last["error"]["kind"], StageFailed)
        error = kind.__new__(kind)
        EdgevitError.__init__(error, last["error"]["message"], last["error"]["hint"])
    error.log, error.doing = text, doing
    return error


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    memory = ", perhaps out of memory" if -code == signal.SIGKILL else ""
    return f"{signal.Signals(-code).name}{memory}"
