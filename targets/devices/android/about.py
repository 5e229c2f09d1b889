"""What an Android device says of itself."""

from __future__ import annotations

import re

from edgevit.types import DeviceFacts
from targets.devices.android.shell import first_line

PROPERTIES = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.build.version.release",
    "ro.build.version.sdk",
    "ro.product.cpu.abilist",
    "ro.soc.model",
)
COMMAND = "; ".join(f"getprop {name}" for name in PROPERTIES) + (
    "; cat /sys/devices/system/cpu/present 2>/dev/null || echo; head -n 1 /proc/meminfo 2>/dev/null || echo; id -u"
)


def read(serial: str, said: str) -> tuple[DeviceFacts, tuple[str, ...], bool]:
    """The facts, the ABIs that it takes, the best first, and whether its shell is root's, from the answer to COMMAND."""
    lines = [first_line(line) for line in said.split("\n")] + [""] * 9
    maker, model, release, sdk, abis, chip, cores, memory, user = lines[:9]
    takes = tuple(name for name in abis.split(",") if re.fullmatch(r"[\w-]{1,32}", name))
    facts = DeviceFacts(
        spec=f"adb:{serial}",
        name=" ".join(word for word in (maker, model, f"({chip})" if chip else "") if word),
        system=f"Android {release} (API {sdk})" if release else "Android",
        processor=takes[0] if takes else "",
        cores=_cores(cores),
        memory=_memory(memory),
    )
    return facts, takes, user == "0"


def _cores(present: str) -> int | None:
    """Of "0-3,5": five."""
    count = 0
    for part in present.split(","):
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if not found:
            return None
        count += int(found[2] or found[1]) - int(found[1]) + 1
    return count if count > 0 else None


def _memory(line: str) -> int | None:
    found = re.fullmatch(r"MemTotal:\s+(\d{1,12}) kB", line)
    return int(found[1]) * 1024 if found else None
