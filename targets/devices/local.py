"""This machine, each model in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import IO

from edgevit.errors import DeviceFault
from edgevit.types import Device, DeviceFacts
from targets.devices import linked
from targets.devices.link import Link
from targets.devices.linked import LinkedDevice


def connect(spec: str, wait: float) -> Device:
    return LinkedDevice(spec, Link(spec, _start, _refusal), near=True, wait=wait)


def facts(spec: str) -> DeviceFacts:
    return linked.facts(spec, Link(spec, _start, _refusal))


def _start(program: str, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-u", "-c", program]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)


def _refusal(said: str, code: int) -> DeviceFault | None:
    """Nothing is between, so there is nothing to try again."""
    return DeviceFault(f"this machine's Python does not start: {(said.splitlines() or [f'exit code {code}'])[-1]}")
