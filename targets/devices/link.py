"""This side of a connection to an agent: orders go out, answers come back, and a connection that was cut is made again."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from edgevit.errors import DeviceFault, DeviceLost

AGENT = Path(__file__).parent / "agent.py"
HELLO = b"edgevit-agent 1"
BOOT = "import sys;exec(compile(sys.stdin.buffer.read({size}),'agent.py','exec'),{{'__name__':'__main__'}})"
"""What the device's Python is started with; the agent itself follows on its stdin."""

SILENCE = 20.0
"""Seconds without a word after which a connection is taken as cut: a living agent says something every 3."""
STARTING = 60.0
"""Seconds that a connection may take until the agent speaks."""
LONGEST_LINE = 4 << 20
MOST_NOISE = 1 << 16
"""Bytes that a device may print before the agent speaks, as its shell's start-up files do."""
AGAIN = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each new try to connect."""

Message = tuple[Any, bytes]
Heard = Callable[[dict[str, Any]], None]
Starting = Callable[[str, IO[bytes]], "subprocess.Popen[bytes]"]
"""Starts the device's Python with a program (-c) and a file for what it prints as errors."""


class Cut(Exception):
    """The connection ended, or nothing came over it any more."""


class Link:
    """A connection to the agent of a device, called `name`. `refusal` makes an error of what a broken start printed, or None."""

    def __init__(self, name: str, start: Starting, refusal: Callable[[str, int], DeviceFault | None]) -> None:
        self._name, self._start, self._refusal = name, start, refusal
        self._greeting: dict[str, Any] | None = None
        self._told: Any = None
        self._asking = False
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the link)

    def greet(self, **arguments: Any) -> dict[str, Any]:
        """The first order, sent again after each new connection. What the device says it is."""
        self._greeting = {"do": "hello", "with": arguments}
        return self._again(lambda: self._told)

    def ask(self, do: str, payload: bytes = b"", heard: Heard = lambda _: None, **arguments: Any) -> Message:
        """What an order gave, which may be given again after a cut: all of them come to the same if done twice."""
        return self._again(lambda: self._exchange({"do": do, "with": arguments}, payload, heard))

    def _again(self, step: Callable[[], Any]) -> Any:
        words = ""
        for pause in (0.0, *AGAIN):
            time.sleep(pause)
            try:
                if not self._process and self._greeting:
                    self._connect()
                return step()
            except Cut as cut:
                words = str(cut)
                self._hang_up()
        raise DeviceLost(f"{self._name}: the connection was cut and did not come back: {words}", "is it still on the network?")

    def _connect(self) -> None:
        self._errors.truncate(0)
        self._errors.seek(0)
        source = AGENT.read_bytes()
        self._process = self._start(BOOT.format(size=len(source)), self._errors)
        self._messages: queue.Queue[Message | Exception | None] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process, self._messages), daemon=True).start()
        self._write(source)
        try:
            self._wait(STARTING)
        except Cut as cut:
            raise self._not_started(str(cut)) from cut
        assert self._greeting
        self._told, _ = self._exchange(self._greeting, b"", lambda _: None)

    def _not_started(self, words: str) -> Exception:
        """Why there is no agent: an error that trying again does not mend, or another cut."""
        assert self._process
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._errors.seek(0)
        said = self._errors.read(MOST_NOISE).decode("utf-8", "replace").strip()
        return self._refusal(said, self._process.poll() or 0) or Cut((said.splitlines() or [words])[-1][:300])

    def _exchange(self, order: dict[str, Any], payload: bytes, heard: Heard) -> Message:
        self._asking = True
        self._write(json.dumps({**order, "bytes": len(payload)}).encode() + b"\n" + payload)
        while True:
            message, data = self._wait(SILENCE)
            if "error" in message or "reply" in message:
                self._asking = False
            if "error" in message:
                raise self._fault(message["error"])
            if "reply" in message:
                return message["reply"], data
            if "alive" not in message:
                heard(message)

    def _fault(self, error: object) -> DeviceFault:
        told = error if isinstance(error, dict) else {}
        kind, message = str(told.get("kind", "garbage")), str(told.get("message", "no message"))[:500]
        return DeviceFault(f"{self._name}: {WORDS.get(kind, kind)}: {message}", HINTS.get(kind, ""))

    def _write(self, data: bytes) -> None:
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as error:
            raise Cut(str(error)) from error

    def _wait(self, seconds: float) -> Message:
        try:
            found = self._messages.get(timeout=seconds)
        except queue.Empty:
            raise Cut(f"nothing was heard for {seconds:g} s") from None
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise Cut("it ended")
        return found

    def _read(self, process: subprocess.Popen[bytes], into: queue.Queue[Message | Exception | None]) -> None:
        """Until the end: each message into the queue, then None."""
        assert process.stdout
        try:
            noise = 0
            while (line := process.stdout.readline(MOST_NOISE)) and line.strip() != HELLO:
                noise += len(line)
                if noise > MOST_NOISE:
                    raise DeviceFault(f"{self._name}: it prints where the agent should speak: {_shown(line)}")
            if line:
                into.put(({}, b""))
            while line and (line := process.stdout.readline(LONGEST_LINE)):
                into.put(self._message(line, process.stdout))
            into.put(None)
        except (OSError, ValueError) as error:
            into.put(Cut(str(error)))
        except DeviceFault as error:
            into.put(error)

    def _message(self, line: bytes, stream: IO[bytes]) -> Message:
        try:
            message = json.loads(line)
            size = int(message.pop("bytes", 0))
            if not 0 <= size <= 1 << 32:
                raise ValueError(size)
        except (ValueError, TypeError, AttributeError):
            raise DeviceFault(f"{self._name}: what it says is no message: {_shown(line)}") from None
        data = stream.read(size)
        if len(data) < size:
            raise ValueError("cut within a message")
        return message, data

    def _hang_up(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            assert process.stdin
            process.stdin.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self, keep: bool) -> None:
        """Take leave: the device removes what it was sent, unless it is to `keep` it. A device that is gone is let go.

        Where it still works on something, as after Ctrl-C, that is ended.
        """
        with contextlib.suppress(Cut, DeviceFault):
            if self._process and self._asking:
                self._write(b'{"do": "leave"}\n')
            elif self._process:
                self._exchange({"do": "bye", "with": {"keep": keep}}, b"", lambda _: None)
        self._hang_up()
        self._errors.close()


WORDS = {
    "busy": "it is taken",
    "full": "its disk is full",
    "file": "a file could not be written or read",
    "changed": "a file came changed",
    "hang": "the runner hung",
    "died": "the runner was ended",
    "garbage": "the runner printed garbage",
    "absent": "the runtime is absent",
    "run": "the runtime failed",
}
HINTS = {
    "busy": "wait for it, or end that process; --wait SECONDS waits",
    "full": "make room there",
    "absent": "install it in the Python that is used there; ssh://HOST?python=PATH names another",
}


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))
