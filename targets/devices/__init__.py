"""Devices that models are measured on: one file each, imported when used.

local                       this machine
ssh://[user@]host[:port]    any Linux or Mac with a Python that has the runtimes
adb[:serial]                Android, by LiteRT's and ExecuTorch's own programs
macos, ios[:udid]           Core ML on this Mac, or on what is connected to it
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from types import ModuleType

from edgevit.errors import BadInput, EdgevitError
from edgevit.types import Device, DeviceFacts
from targets.devices.programs import Programs

KNOWN = ("local", "ssh://[user@]host[:port]", "adb[:serial]", "macos", "ios[:udid]")


@dataclass(frozen=True)
class Access:
    """How a device is got at: with others' programs, after `wait` seconds at most where another run has it.

    What it was sent is removed, unless it is to `keep` it.
    """

    programs: Programs = field(default_factory=Programs)
    wait: float = 0.0
    keep: bool = False


PLAIN = Access()
FILES = {"adb": "android", "macos": "apple", "ios": "apple"}


def kind(spec: str) -> str:
    """The kind of device that a name means. Raises BadInput for one that means none."""
    if spec in ("local", "macos") or re.fullmatch(r"(adb|ios)(:[A-Za-z0-9._:-]+)?", spec):
        return spec.partition(":")[0]
    if spec.startswith("ssh://"):
        from targets.devices import ssh

        ssh.place(spec)
        return "ssh"
    raise BadInput(f"no such device: {spec}", f"known: {', '.join(KNOWN)}")


def connect(spec: str, access: Access = PLAIN) -> Device:
    """The device of that name, connected and held for this run alone. Raises BadInput, DeviceFault."""
    found, rest = kind(spec), spec.partition(":")[2]
    module = _file(FILES.get(found, found))
    if found in ("local", "ssh"):
        device: Device = module.connect(spec, access.wait)
    elif found == "adb":
        device = module.open_adb(rest or None, access.programs)
    else:
        device = module.open_macos() if found == "macos" else module.open_ios(rest or None)
    return device


def _file(name: str) -> ModuleType:
    return importlib.import_module(f"targets.devices.{name}")


def reachable(specs: tuple[str, ...]) -> tuple[DeviceFacts, ...]:
    """What there is: this machine, what adb and coremltools list, and the devices of these names."""
    return (*map(asked, ("local", *specs)), *_phones(), *_file("apple").reachable())


def _phones() -> tuple[DeviceFacts, ...]:
    try:
        found: tuple[DeviceFacts, ...] = _file("android").reachable()
    except EdgevitError as error:
        return (DeviceFacts("adb", reason=error.message, hint=error.hint),)
    return found or (DeviceFacts("adb", reason="it lists no device", hint="plug one in, with USB debugging on: docs/android.md"),)


def asked(spec: str) -> DeviceFacts:
    """What the device of that name says of itself, or why it does not. Raises BadInput for a name that means none."""
    found = kind(spec)
    try:
        if found in ("local", "ssh"):
            told: DeviceFacts = _file(found).facts(spec)
            return told
        device = connect(spec)
    except EdgevitError as error:
        return DeviceFacts(spec, reason=error.message, hint=error.hint)
    device.close()
    return device.facts
