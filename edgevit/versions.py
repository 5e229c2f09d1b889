"""What this machine is and which versions it holds: a figure without them is worth little."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path

import edgevit

PACKAGES = ("edgevit", "quantize", "converters", "targets")


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


@functools.cache
def sources() -> str:
    """sha256 of every source file of edgevit, whose changes no version tells."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in map(Path, (spec.submodule_search_locations or ()) if spec else ()):
            for file in sorted(folder.rglob("*.py")):
                digest.update(f"{package}/{file.relative_to(folder).as_posix()}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


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
