"""What a machine has and lacks for edgevit."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import targets
from edgevit import stage
from edgevit.errors import EdgevitError
from edgevit.versions import machine, version, versions


@dataclass(frozen=True)
class Finding:
    what: str
    found: str
    ok: bool
    advice: str = ""


def examine() -> list[Finding]:
    """Every finding, the bad ones with what to do. torch is imported in a child process, for it may be broken."""
    found = [Finding(name, text, True) for name, text in versions().items()]
    found += [Finding("machine", machine(), True), _torch()]
    for target in targets.all_targets():
        for library in target.needs:
            here, extra = version(library.module), f"pip install 'edgevit[{library.extra}]'"
            found.append(Finding(f"{target.name}: {library.module}", here or "not installed", bool(here), "" if here else extra))
    found.append(_tflite_support())
    free = shutil.disk_usage(Path.cwd()).free
    found.append(
        Finding("free space here", f"{free / 1e9:.0f} GB", free > 5e9, "" if free > 5e9 else "an export needs up to 5 GB")
    )
    return found


def _torch() -> Finding:
    try:
        text = stage.run("edgevit.doctor:describe_torch", str).value
    except EdgevitError as error:
        return Finding("torch", error.message, False, "pip install torch")
    return Finding("torch", text, True)


def describe_torch() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{torch.__version__}, {', '.join(gpus) or 'no GPU'}, {torch.get_num_threads()} threads"


def _tflite_support() -> Finding:
    here = version("tflite-support")
    if not here and sys.version_info >= (3, 12):
        return Finding(
            "tflite: tflite-support", "not installed", False, "its wheels stop at Python 3.11: use 3.11 for TFLite metadata"
        )
    return Finding("tflite: tflite-support", here or "not installed", bool(here), "" if here else "pip install 'edgevit[tflite]'")
