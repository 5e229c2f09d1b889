"""What a Mac says of itself without root: no clock, no temperature, but how macOS holds its processor back."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time

from edgevit.types import Conditions, DeviceFacts
from edgevit.versions import version

LIMIT = re.compile(r"^\s*([A-Za-z_ ]{1,40}?)\s*=\s*(\d{1,6})\s*$", re.MULTILINE)
"""A line of `pmset -g therm`: "CPU_Speed_Limit = 80"."""
MOST = 4
SECONDS = 5.0


def now(began: float) -> Conditions:
    """`began` is unix time. `governor` repeats what `pmset -g therm` says: on Apple's own processors, as a rule nothing."""
    return Conditions(time.time() - began, governor=governor(_said("pmset", "-g", "therm")))


def governor(said: str) -> str:
    """ "CPU_Scheduler_Limit 100, CPU_Speed_Limit 80"; empty where no limit is recorded."""
    return ", ".join(f"{name} {value}" for name, value in LIMIT.findall(said)[:MOST])


def facts() -> DeviceFacts:
    memory = _said("sysctl", "-n", "hw.memsize").strip()
    return DeviceFacts(
        spec="macos",
        name=_line(_said("sysctl", "-n", "machdep.cpu.brand_string")) or _line(_said("sysctl", "-n", "hw.model")),
        system=f"macOS {platform.mac_ver()[0]}".strip(),
        processor=platform.machine(),
        cores=os.cpu_count(),
        memory=int(memory) if memory.isascii() and memory.isdigit() else None,
        runtimes={"coremltools": version("coremltools") or ""},
    )


def _line(said: str) -> str:
    return said.strip().partition("\n")[0][:100]


def _said(*command: str) -> str:
    """Empty where the program is not there, fails or hangs: what is not known is left out."""
    try:
        ran = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout[:10_000].decode(errors="replace")
