"""Stages of edgevit from a process that has its libraries loaded already: forked, where edgevit itself starts Python anew.

Everything else of a stage is edgevit's own: the JSON over a pipe, the log, the limit, the plain error for a crash.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from typing import IO

from edgevit import stage

LIBRARIES = (
    "torch", "safetensors.numpy", "safetensors.torch", "matplotlib.figure", "ai_edge_litert.interpreter", "targets.mil.evaluate",
    "targets.mil.flat", "targets.files.mlpackage", "targets.files.tflite", "targets.files.executorch",
    "executorch.extension.pybindings._portable_lib", "converters.litert", "edgevit.jobs.inspect", "edgevit.jobs.export",
    "edgevit.jobs.answers", "edgevit.cli.inside", "edgevit.cli.work", "edgevit.pipeline",
)  # fmt: skip


class Forked:
    """Of `subprocess.Popen`, what a stage asks of its child."""

    stdin = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout or 1e9)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("stage", timeout or 0)
            time.sleep(0.002)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def start(job: str, arguments: dict[str, object], log: IO[bytes], scratch: str) -> tuple[Forked, IO[bytes]]:
    """In place of `stage._start`."""
    order = stage._encoded({"job": job, "arguments": arguments})
    read, write = os.pipe()
    asked, given = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            os.dup2(asked, 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
            tempfile.tempdir = os.environ["TMPDIR"] = scratch
            stage.child(write)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(write)
    os.close(asked)
    os.write(given, order)  # held open: a stage leaves when it ends
    return Forked(pid), os.fdopen(read, "rb")


def load() -> None:
    """What stages load."""
    for name in LIBRARIES:
        importlib.import_module(name)


def fork() -> None:
    """Fork stages from here on."""
    gc.freeze()  # else the first collection of every child would copy all that it shares with its parent
    stage._start = start  # type: ignore[assignment]
