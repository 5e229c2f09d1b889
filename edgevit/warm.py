"""Children that begin with torch imported: forked from a process that has imported it, and has done nothing else since.

The import is a second of every stage that computes with torch, of which an export has a dozen. The process it is done in once,
the nursery, has one thread and computes nothing, so that what is forked from it begins as if by itself. It is asked over a
socket, with one packet for each child, that brings what a child has of its parent: environment, folder, path of modules, and
descriptors for stdin, its log, its voice and its exit code. It goes when its parent goes, and its children with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import IO, Any, NoReturn

JOBS = frozenset({
    "edgevit.jobs.check:check", "edgevit.jobs.export:convert", "edgevit.jobs.gains:convert", "edgevit.jobs.quantize:quantize",
    "edgevit.jobs.reference:reference",
})  # fmt: skip
"""Those that compute with torch, several in one command, on files of the user's own."""
FIRST = "torch"
LATER = (
    "edgevit.vit.model",
    "edgevit.jobs.check",
    "torch._dynamo",
    "torch._functorch.aot_autograd",
    "torch.export._remove_auto_functionalized_pass",
)
"""What is imported before the first child is forked, and what while it works: nothing that asks for a GPU, as torchao does, which
no child could ask for after it."""
READ_ONCE = ("CUDA", "DNNL", "GOMP", "KMP", "LD_", "MKL", "OMP", "ONEDNN", "OPENBLAS", "PYTHON", "PYTORCH", "TORCH")
"""How variables begin that are read while something is imported: with others of these, another nursery is needed."""
PACKET = 1 << 17
"""Bytes that one packet surely holds."""
ABLE = sys.platform == "linux" and hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")
"""Elsewhere what was imported may not survive a fork, and no number tells a child from another that came after it."""
PATIENCE = 60.0
"""Seconds after which a nursery that does not answer hangs."""

PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:]; from edgevit import warm; from edgevit.child import begin; "
    "warm.serve(int(sys.argv[1]), begin)"
)


class Forked:
    """A child of the nursery: of `subprocess.Popen`, what a stage asks of its child."""

    def __init__(self, process: int, status: int, stdin: IO[bytes]) -> None:
        self.stdin: IO[bytes] | None = stdin
        self.returncode: int | None = None
        self._process, self._status = process, status
        self._lock = threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that ended it. Raises subprocess.TimeoutExpired after so many seconds."""
        poll = select.poll()
        if self.returncode is None:
            poll.register(self._status, select.POLLIN)
            if not poll.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired("stage", timeout or 0)
        with self._lock:  # another thread may have read it
            if self.returncode is None:
                said = os.read(self._status, 16)
                self.returncode = int(said) if said else -signal.SIGKILL  # the nursery died, and so did its children
        return self.returncode

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def __del__(self) -> None:
        os.close(self._process)
        os.close(self._status)


class _Nursery:
    """The process, as its parent knows it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(PATIENCE)
        self._scratch = tempfile.TemporaryDirectory(prefix="edgevit-nursery-", ignore_cleanup_errors=True)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, str(theirs.fileno()), *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**environment, "TMPDIR": self._scratch.name},
            )

    def fork(self, order: bytes, log: int, voice: int) -> Forked:
        """A child that begins. Raises OSError where there is none: the process is gone, was never able, or finds no room."""
        asked, given = os.pipe()
        told, status = os.pipe()
        try:
            socket.send_fds(self._line, [order], [asked, log, voice, status])
            _, (process,), _, _ = socket.recv_fds(self._line, 1, 1)
        except BaseException as error:
            os.close(given)
            os.close(told)
            if isinstance(error, TimeoutError) or not isinstance(error, OSError | ValueError):
                self._line.close()  # the answer to this may still come, and is nobody else's
            if isinstance(error, OSError | ValueError):
                raise OSError("no child") from error
            raise
        finally:
            os.close(asked)
            os.close(status)
        return Forked(process, told, os.fdopen(given, "wb"))

    @property
    def over(self) -> bool:
        return self._line.fileno() < 0 or self._process.poll() is not None


_lock = threading.Lock()
_nurseries: dict[object, _Nursery | None] = {}
"""None where one is over: another would fare no better."""


def fork(environment: Mapping[str, str], log: int, voice: int) -> Forked | None:
    """A child that has torch imported, and reads its order from stdin; None where there can be none, and one begins cold.

    `log` and `voice` are descriptors of its output and of what it says to its parent.
    """
    if not ABLE or "" in environment:  # a variable without a name cannot be unset
        return None
    surroundings = {"environment": dict(environment), "folder": os.getcwd(), "path": list(map(str, sys.path))}
    order = json.dumps(surroundings).encode()
    if len(order) > PACKET:
        return None
    read_once = frozenset((name, value) for name, value in environment.items() if name.startswith(READ_ONCE))
    kind = os.getpid(), read_once
    with _lock:
        if kind not in _nurseries:
            _nurseries[kind] = _Nursery(environment)
        nursery = _nurseries[kind]
        try:
            return nursery.fork(order, log, voice) if nursery else None
        except OSError:
            if nursery and nursery.over:
                _nurseries[kind] = None
            return None


def serve(descriptor: int, begin: Callable[[int], NoReturn]) -> NoReturn:
    """Be the nursery, for whoever has the other end of the socket: fork children, of which each calls `begin`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody learns how a child ended
    importlib.import_module(FIRST)
    later = list(LATER)
    ward = _Ward(socket.socket(fileno=descriptor), begin)
    while True:
        ward.look(0 if later else None)
        if later:
            with contextlib.suppress(Exception):  # the child that wants it says so
                importlib.import_module(later.pop(0))


class _Ward:
    """The children of a nursery: the exit code of each goes to whoever asked for it."""

    def __init__(self, line: socket.socket, begin: Callable[[int], NoReturn]) -> None:
        self.children: dict[int, tuple[int, int]] = {}
        """The number of each, and where its exit code is written, by the descriptor that tells its end."""
        self._line, self._begin = line, begin
        self._poll = select.poll()
        self._poll.register(line, select.POLLIN)

    def look(self, timeout: float | None) -> None:
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._line.fileno():
                self._hear()
            else:
                self._bury(descriptor)

    def _hear(self) -> None:
        order, descriptors, _, _ = socket.recv_fds(self._line, PACKET, 4)
        if not order:
            os._exit(0)  # nobody is there any more; the children die of it
        gc.freeze()  # else the first collection of a child would copy all that it shares
        try:
            number = os.fork() if len(descriptors) == 4 else None
        except OSError:
            number = None
        if number is None:
            for each in descriptors:
                os.close(each)
            self._line.send(b"!")
            return
        if number == 0:
            self._be_born(json.loads(order), *descriptors)
        *given, status = descriptors
        for each in given:
            os.close(each)
        try:
            process = os.pidfd_open(number)
        except OSError:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            os.close(status)
            self._line.send(b"!")
            return
        self.children[process] = number, status
        self._poll.register(process, select.POLLIN)
        socket.send_fds(self._line, [b"."], [process])

    def _be_born(self, order: dict[str, Any], asked: int, log: int, voice: int, status: int) -> NoReturn:
        try:
            for other in (status, self._line.fileno(), *self.children, *(each for _, each in self.children.values())):
                os.close(other)
            for number, place in ((asked, 0), (log, 1), (log, 2)):
                os.dup2(number, place)
            os.close(asked)
            os.close(log)
            if order["folder"] != os.getcwd():
                os.chdir(order["folder"])
            os.environ.clear()
            os.environ.update(order["environment"])
            sys.path[:] = order["path"]
            tempfile.tempdir = None
            self._begin(voice)
        except SystemExit as exit:
            code = 0 if exit.code is None else exit.code & 0xFF if isinstance(exit.code, int) else 1
            if code and not isinstance(exit.code, int):
                sys.stderr.write(f"{exit.code}\n")
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def _bury(self, process: int) -> None:
        self._poll.unregister(process)
        number, status = self.children.pop(process)
        _, ended = os.waitpid(number, 0)
        with contextlib.suppress(OSError):
            os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
        os.close(status)
        os.close(process)
