"""Commands and stages of edgevit from a process that has their libraries loaded: forked, where edgevit starts Python anew.

Everything else of a stage is edgevit's own: the JSON over a pipe, the log, the limit, the plain error for a crash.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from typing import IO

import typer
from typer import testing

from edgevit import child, stage
from edgevit.cli.app import app

LIBRARIES = (
    "torch", "safetensors.numpy", "safetensors.torch", "matplotlib.figure", "ai_edge_litert.interpreter", "targets.mil.evaluate",
    "targets.mil.flat", "targets.files.mlpackage", "targets.files.tflite", "targets.files.executorch",
    "executorch.extension.pybindings._portable_lib", "converters.litert", "edgevit.jobs.inspect", "edgevit.jobs.check",
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
            child.begin(write)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(write)
    os.close(asked)
    os.write(given, order)  # held open: a stage leaves when it ends
    return Forked(pid), os.fdopen(read, "rb")


def load() -> None:
    """Load what stages load, build the commands, and fork stages from here on."""
    for name in LIBRARIES:
        importlib.import_module(name)
    built = typer.main.get_command(app)
    testing._get_command = lambda _: built  # type: ignore[assignment]  # once, for all that is forked
    gc.freeze()  # else the first collection of every child would copy all that it shares with its parent
    stage._start = start  # type: ignore[assignment]


def commanded(command: list[str]) -> tuple[int, str, str]:
    """A command of edgevit in this process: exit code, output, and what it said."""
    ran = testing.CliRunner().invoke(app, command)
    said = ran.stderr
    if ran.exception and not isinstance(ran.exception, SystemExit):
        said += "".join(traceback.format_exception(ran.exception))
    return ran.exit_code, ran.stdout, said


def run(commands: list[list[str]], limit: float) -> Iterator[tuple[int, str, str, float]]:
    """Commands one after the other in a process of their own, forked: exit code, output and errors, seconds of each.

    It is killed where one takes longer than `limit`; that and those after it have a process of their own again.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.close(read)
            with os.fdopen(write, "wb", 0) as pipe:
                for command in commands:
                    pipe.write(json.dumps(commanded(command)).encode() + b"\n")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    done = 0
    with os.fdopen(read, "rb") as pipe:
        lines, started = _Lines(pipe.fileno()), time.monotonic()
        while done < len(commands) and (line := lines.next(started + limit)):
            code, output, said = json.loads(line)
            yield code, output, said, time.monotonic() - started
            done, started = done + 1, time.monotonic()
    if done < len(commands):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if done < len(commands):
        yield os.waitstatus_to_exitcode(status) or -1, "", "", time.monotonic() - started
        yield from run(commands[done + 1 :], limit) if commands[done + 1 :] else ()


class _Lines:
    """What a pipe says, line by line."""

    def __init__(self, pipe: int) -> None:
        self.pipe, self.held = pipe, b""

    def next(self, end: float) -> bytes:
        """Nothing where no whole line comes in time."""
        while b"\n" not in self.held and select.select([self.pipe], [], [], max(0, end - time.monotonic()))[0]:
            part = os.read(self.pipe, 1 << 20)
            if not part:
                return b""
            self.held += part
        line, found, self.held = self.held.partition(b"\n")
        return line if found else b""
