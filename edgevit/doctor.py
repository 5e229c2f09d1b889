"""What a machine has and lacks for edgevit."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import targets
from edgevit import cache as caches
from edgevit import stage
from edgevit.errors import EdgevitError
from edgevit.types import Progress, silent
from edgevit.versions import machine, version, versions


@dataclass(frozen=True)
class Finding:
    what: str
    found: str
    ok: bool
    advice: str = ""


def examine(progress: Progress = silent) -> list[Finding]:
    """Every finding, the bad ones with what to do. torch is imported in a child process, for it may be broken."""
    found = [Finding(name, text, True) for name, text in versions().items()]
    found += [Finding("machine", machine(), True), _torch(progress)]
    for target in targets.all_targets():
        for library in target.needs:
            here, extra = version(library.module), f"pip install 'edgevit[{library.extra}]'"
            found.append(Finding(f"{target.name}: {library.module}", here or "not installed", bool(here), "" if here else extra))
    found += [_tflite_support(), _cache()]
    free = shutil.disk_usage(Path.cwd()).free
    found.append(
        Finding("free space here", f"{free / 1e9:.0f} GB", free > 5e9, "" if free > 5e9 else "an export needs up to 5 GB")
    )
    return found


def _cache() -> Finding:
    place = caches.place()
    if place is None:
        return Finding("cache", "nowhere", False, "set HOME, XDG_CACHE_HOME or EDGEVIT_CACHE")
    return Finding("cache", f"{caches.held(place)[1] / 1e6:.0f} MB in {place}", True)


def _torch(progress: Progress) -> Finding:
    try:
        text = stage.run("edgevit.doctor:describe_torch", str, progress).value
    except EdgevitError as error:
        return Finding("torch", error.message, False, "pip install torch")
    return Finding("torch", text, True)


def describe_torch(progress: Progress) -> str:
    progress("importing torch", 0, None)
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    gpus += ["MPS"] * torch.backends.mps.is_available()
    return f"{torch.__version__}, {', '.join(gpus) or 'no GPU'}, {torch.get_num_threads()} threads"


def _tflite_support() -> Finding:
    here = version("tflite-support")
    return Finding("tflite: tflite-support", here or "not installed", bool(here), "" if here else _how_to_have_tflite_support())


def _how_to_have_tflite_support() -> str:
    """As the markers of the extra `tflite` say it."""
    python, system = platform.python_version().rpartition(".")[0], f"{platform.system()} {platform.machine()}"
    if sys.version_info < (3, 12) and system == "Linux x86_64":
        return "pip install 'edgevit[tflite]'"
    return f"not for Python {python} on {system}: the extra brings it with Python 3.11 on Linux x86_64"
