"""What this machine is and which versions it holds: a figure without them is worth little."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import edgevit


def version(package: str) -> str | None:
    """The installed version of a package by its pip name, without importing it; None where it is absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(*packages: str) -> dict[str, str]:
    """edgevit's, Python's, and those of the named packages that are installed."""
    found = {"edgevit": edgevit.__version__, "python": platform.python_version()}
    return found | {package: v for package in packages if (v := version(package))}


def machine() -> str:
    """Processor, cores and system in one line, without the host's name."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or "unknown processor"
