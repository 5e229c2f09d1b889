"""A Linux machine or a Mac behind ssh: Raspberry Pi, Jetson, a server. Its Python runs the agent; nothing else is needed there.

    ssh://[user@]host[:port][?python=PATH&config=FILE]

The system's own ssh is used, with the user's keys and settings, and host keys are checked strictly: an unknown or changed one is
an error. No name of a user's file reaches the other side's shell.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgevit.errors import BadInput, DeviceFault, NotInstalled
from edgevit.types import Device, DeviceFacts
from targets.devices import linked
from targets.devices.link import Link
from targets.devices.linked import LinkedDevice

OPTIONS = (
    "-T", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oConnectTimeout=15", "-oServerAliveInterval=5",
    "-oServerAliveCountMax=3", "-oForwardAgent=no", "-oForwardX11=no", "-oClearAllForwardings=yes",
)  # fmt: skip
HINT = "ssh://[user@]host[:port], with ?python=PATH for its Python, and ?config=FILE for an ssh_config of yours"

FINAL = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "its host key is not the one that is known", "someone may be in between; if it was set up anew: ssh-keygen -R HOST",
    ),
    "Host key verification failed": ("its host key is not known", "connect once with ssh, and look at the fingerprint"),
    "Permission denied": ("it refuses the key", "ssh-copy-id puts yours there; no password is asked for"),
    "Could not resolve hostname": ("no such host", "look at the name, or give an address"),
    "Bad owner or permissions": ("ssh refuses its settings", "chmod 600 them"),
    "Bad configuration option": ("ssh refuses its settings", "look at the ssh_config"),
}  # fmt: skip
"""What ssh prints where trying again helps nothing, in words, and what to do."""


@dataclass(frozen=True)
class Place:
    """Where a device is, and how its Python is called there."""

    host: str
    port: int | None
    python: str
    config: Path | None


def place(spec: str) -> Place:
    """What a name of the form above means. Raises BadInput."""
    try:
        found = urllib.parse.urlsplit(spec)
        port = found.port
        query = urllib.parse.parse_qs(found.query, strict_parsing=bool(found.query))
    except ValueError as error:
        raise BadInput(f"not the name of a device: {spec}: {error}", HINT) from error
    host = found.netloc.rpartition(":")[0] if port else found.netloc
    if not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_\[][A-Za-z0-9_.:\]-]*", host) or found.path not in ("", "/"):
        raise BadInput(f"not the name of a device: {spec}", HINT)
    if unknown := set(query) - {"python", "config"}:
        raise BadInput(f"{spec}: unknown: {', '.join(sorted(unknown))}", HINT)
    config = Path(query["config"][0]) if "config" in query else None
    if config and not config.is_file():
        raise BadInput(f"no such file: {config}", HINT)
    return Place(host, port, query.get("python", ["python3"])[0], config)


def connect(spec: str, wait: float) -> Device:
    name, link = _link(spec)
    return LinkedDevice(name, link, near=False, wait=wait)


def facts(spec: str) -> DeviceFacts:
    return linked.facts(*_link(spec))


def _link(spec: str) -> tuple[str, Link]:
    """A connection that is not made yet, and what the device is called."""
    at = place(spec)
    if not shutil.which("ssh"):
        raise NotInstalled("ssh is not installed", "install OpenSSH's client")
    name = f"ssh://{at.host}" + (f":{at.port}" if at.port else "")

    def start(program: str, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command(at, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )

    return name, Link(name, start, lambda said, code: refusal(name, at, said, code))


def command(at: Place, program: str) -> list[str]:
    there = f"exec {shlex.quote(at.python)} -u -c {shlex.quote(program)}"
    config = ["-F", str(at.config)] if at.config else []
    port = ["-p", str(at.port)] if at.port else []
    return ["ssh", *OPTIONS, *config, *port, "--", at.host, there]


def refusal(name: str, at: Place, said: str, code: int) -> DeviceFault | None:
    """The error that ssh's words mean, or those of a Python that does not start; None where another try may help."""
    for words, (message, hint) in FINAL.items():
        if words in said:
            return DeviceFault(f"{name}: {message}", hint)
    last = (said.splitlines() or [""])[-1][:200]
    if code in (126, 127):
        return DeviceFault(f"{name}: no Python there by the name {at.python}: {last}", "?python=PATH names one")
    return DeviceFault(f"{name}: its Python does not run the agent: {last}", HINT) if 0 < code < 126 else None
