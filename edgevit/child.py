"""The child's half of a stage: one job, its progress and its last word as lines of JSON. The parent's is `edgevit.stage`."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
import typing
from pathlib import Path
from typing import NoReturn

import msgspec

from edgevit import errors, record
from edgevit.errors import EdgevitError
from edgevit.types import Progress


class _Voice:
    """The child's side of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self.pipe = os.fdopen(descriptor, "wb")
        self.last = (0.0, "")

    def say(self, message: dict[str, object]) -> None:
        """By Python's json: msgspec would turn infinity and NaN into null."""
        self.pipe.write(json.dumps(record.builtins(message)).encode() + b"\n")
        self.pipe.flush()

    def progress(self, label: str, done: float, total: float | None) -> None:
        """At most ten a second, but every end and every new label."""
        now = time.monotonic()
        if done == total or label != self.last[1] or now - self.last[0] > 0.1:
            self.last = (now, label)
            self.say({"progress": [label, done, total]})


def peak_bytes() -> int:
    """The most memory this process has held. The kernel's own figure since exec: rusage's is inherited from the parent."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


SELDOM = 50_000, 20, 100
"""The thresholds of the garbage collector of a child, which makes millions of objects that stay: a tenth of a lowering's time."""


def begin(descriptor: int) -> NoReturn:
    """Do the job that stdin orders, say its progress and its result to `descriptor`, and end."""
    voice = _Voice(descriptor)
    gc.set_threshold(*SELDOM)
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, and the parent stops us in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_die_without_parent, daemon=True).start()
    try:
        message = {"result": _call(order["job"], order["arguments"], voice.progress)}
    except EdgevitError as error:
        message = {"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}}
    except Exception as error:
        traceback.print_exc()
        message = {"error": _plain_words(error)}
    voice.say({**message, "peak_bytes": peak_bytes()})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some native libraries crash in their own exit handlers, after the result is safe


def _plain_words(error: Exception) -> dict[str, str]:
    if isinstance(error, OSError) and error.errno in errors.OF_THE_PLACE:
        plain = errors.from_os_error(error)
        return {"kind": "BadInput", "message": plain.message, "hint": plain.hint}
    text = (str(error).strip() or "no message").splitlines()[0][:300]
    return {"kind": "StageFailed", "message": f"{type(error).__name__}: {text}", "hint": ""}


def _call(job: str, arguments: dict[str, object], progress: Progress) -> object:
    module, _, name = job.partition(":")
    function = getattr(importlib.import_module(module), name)
    hints = typing.get_type_hints(function)
    typed = {k: msgspec.convert(v, hints[k], dec_hook=record._rich) for k, v in arguments.items()}
    if "progress" in hints:
        typed["progress"] = progress
    return function(**typed)


def _die_with_parent() -> None:
    """Linux does it at once, even to native code that does not let go of the interpreter."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _die_without_parent() -> None:
    """Elsewhere, stdin ends with the parent."""
    while sys.stdin.read(1):
        pass
    os._exit(1)
