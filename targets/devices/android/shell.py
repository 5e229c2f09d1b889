"""adb's own client, called with lists of arguments: the one seam to it.

What reaches the device's shell is a command that ends by printing a mark of ours with its exit status, so that an answer without
the mark is an answer that was cut off, whichever of adb's two shell protocols the device speaks.
"""

from __future__ import annotations

import re
import secrets
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn, TypeVar

from edgevit.errors import DeviceFault, DeviceLost, NotInstalled
from edgevit.types import DeviceFacts
from targets.devices.programs import TOOLS

T = TypeVar("T")
MOST = 4 << 20
"""Bytes that a command may say. A device that says more is ended: it would fill our memory."""
SHORT, LONG = 60.0, 1800.0
"""Seconds for a command that answers at once, and for a large file over a slow cable."""
PATIENCE = 20.0
"""Seconds that a device which went away has to come back, each time."""
TRIES = 4
"""How often one step is begun."""
GONE = re.compile(
    r"device offline|no devices|device '[^']*' not found|error: closed|device still (authorizing|connecting)|protocol fault|"
    r"connection reset|broken pipe|failed to get feature set|failed to (read|write)[^\n]*(closed|reset|eof)|"
    r"remote (read|write) failed|connect failed: closed|couldn't read from device|no such device|not enough data|unexpected eof|"
    r"failed to read copy response: *(eof|success|undefined error)",
    re.IGNORECASE,
)
"""What adb says when the cable was pulled, or the device is restarting."""
FULL = re.compile(r"no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE)


class Gone(DeviceFault):
    """The connection ended within a step. `Adb.steady` begins the step again."""


class Hung(DeviceFault):
    """A command was not done within its limit, or said far too much. It may still run on the device."""


@dataclass(frozen=True)
class Said:
    """What a command left: its exit status, and its two streams as text."""

    code: int
    out: str
    err: str = ""

    @property
    def all(self) -> str:
        return f"{self.out}\n{self.err}" if self.err.strip() else self.out


class Adb:
    """One device, by its serial, through the client `program`."""

    def __init__(self, program: str, serial: str, patience: float = PATIENCE) -> None:
        self.program, self.serial, self.patience = program, serial, patience

    def shell(self, command: str, limit: float = SHORT) -> Said:
        """Run it on the device. All of the user's that is in it must be quoted. Raises Gone and Hung."""
        mark = f"edgevit-{secrets.token_hex(6)}"
        said = talk([self.program, "-s", self.serial, "shell", f"sh -c {shlex.quote(command)}\necho {mark} $?"], limit)
        body, found, status = said.out.replace("\r\n", "\n").rpartition(f"{mark} ")
        if not found or not status.strip().isdigit():
            raise Gone(f"the connection to {self.serial} ended: {first_line(said.err or said.out) or 'no word of why'}")
        return Said(int(status), body, said.err)

    def push(self, file: Path, to: str, limit: float = LONG) -> None:
        self._copy(["push", str(file.resolve()), to], limit)

    def pull(self, path: str, to: Path, limit: float = LONG) -> None:
        self._copy(["pull", path, str(to.resolve())], limit)

    def _copy(self, arguments: list[str], limit: float) -> None:
        said = talk([self.program, "-s", self.serial, *arguments], limit)
        if said.code == 0:
            return
        if FULL.search(said.all):
            raise DeviceFault(f"no space left on {self.serial}: {first_line(said.all)}", "free some space on the device")
        if GONE.search(said.all) or not said.all.strip():  # a pull that is cut off ends without a word
            raise Gone(f"the connection to {self.serial} ended: {first_line(said.all) or f'in a {arguments[0]}'}")
        raise DeviceFault(f"adb could not {arguments[0]}: {first_line(said.all)}")

    def steady(self, step: Callable[[], T]) -> T:
        """What `step` gives, begun again when the connection ended in it. Raises DeviceLost where that does not come back."""
        for left in reversed(range(TRIES)):
            try:
                return step()
            except Gone as gone:
                if not left or not self._back():
                    self._lost(gone)
        raise AssertionError("unreachable")

    def _back(self) -> bool:
        """Wait until the device is connected again."""
        end = time.monotonic() + self.patience
        try:
            waited = talk([self.program, "-s", self.serial, "wait-for-device"], self.patience)
        except Hung:
            return False
        if waited.code == 0:  # a device that has just come back may be offline for a moment
            time.sleep(min(0.2, self.patience / 10))
        return waited.code == 0 and time.monotonic() < end

    def _lost(self, gone: Gone) -> NoReturn:
        hint = "look at the cable and at the screen of the device; `adb devices -l` must list it as `device`"
        raise DeviceLost(f"{gone.message}; it did not come back", hint) from gone


def talk(arguments: Sequence[str], limit: float) -> Said:
    """Run adb's client. Raises NotInstalled where there is none, Hung after `limit` seconds or a flood of words."""
    try:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise NotInstalled(f"no adb at {arguments[0]}: {error.strerror}", f"install Android's platform tools: {TOOLS}") from error
    assert process.stdout and process.stderr
    streams = [_Stream(process.stdout, process), _Stream(process.stderr, process)]
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        raise Hung(f"not done after {limit:g} seconds") from None
    finally:
        process.kill()
        process.wait()
        for stream in streams:
            stream.join(5)
    if any(stream.flood for stream in streams):
        raise Hung(f"not done before it had said {MOST >> 20} MB, beginning with: {first_line(streams[0].text)}")
    return Said(code, streams[0].text, streams[1].text)


class _Stream(threading.Thread):
    """Reads one stream of the client to its end, so that neither blocks the other; ends the client at a flood."""

    def __init__(self, stream: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream, self._process, self._held, self.flood = stream, process, bytearray(), False
        self.start()

    def run(self) -> None:
        with self._stream:
            while piece := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
                self._held += piece
                if len(self._held) > MOST:
                    self.flood = True
                    self._process.kill()
                    return

    @property
    def text(self) -> str:
        return bytes(self._held).decode(errors="replace")


def first_line(text: str) -> str:
    """The first line that says something, of whatever a device said: printable, and no longer than a screen."""
    lines = ("".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines())
    return next((line[:200] for line in lines if line and not line.startswith("* daemon")), "")


def quoted(arguments: Sequence[str]) -> str:
    return " ".join(shlex.quote(argument) for argument in arguments)


@dataclass(frozen=True)
class Listed:
    """A line of `adb devices -l`."""

    serial: str
    state: str
    words: dict[str, str]


def listed(program: str) -> tuple[Listed, ...]:
    """Whom adb knows. It starts its server where none runs. Raises NotInstalled without adb."""
    said = talk([program, "devices", "-l"], SHORT)
    if said.code:
        raise DeviceFault(f"adb does not list devices: {first_line(said.err or said.out)}", "adb kill-server, then again")
    _, _, body = said.out.partition("List of devices attached")
    return tuple(found for line in body.splitlines() if (found := _listed(line)))


def _listed(line: str) -> Listed | None:
    serial, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if not serial or not rest or serial == "*":
        return None
    state = "no permissions" if rest.startswith("no permissions") else rest.split()[0]
    return Listed(serial, state, dict(word.split(":", 1) for word in rest.split() if ":" in word))


REASONS = {
    "unauthorized": ("it has not allowed this computer", "unlock the screen and accept the question about USB debugging"),
    "offline": ("it does not answer", "plug it in again, or restart it"),
    "authorizing": ("it has not allowed this computer yet", "unlock the screen and accept the question about USB debugging"),
    "no permissions": ("this user may not open its USB port", "https://developer.android.com/studio/run/device#setting-up"),
    "recovery": ("it is in recovery mode", "start it as usual"),
    "sideload": ("it is in recovery mode", "start it as usual"),
    "bootloader": ("it is in its boot loader", "start it as usual"),
}
"""Why nothing can be measured on a device in that state, and what to do."""


def facts(found: Listed) -> DeviceFacts:
    """What adb's list alone says of it."""
    name = first_line(found.words.get("model", "").replace("_", " "))
    other = (f"adb says {first_line(found.state)}", "look at `adb devices -l`")
    reason, hint = ("", "") if found.state == "device" else REASONS.get(found.state, other)
    return DeviceFacts(f"adb:{found.serial}", name, "Android", reason=reason, hint=hint)
