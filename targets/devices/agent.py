"""What runs on a device: it takes files, starts workers and passes on what they say. Needs nothing but Python 3.9.

This file and `worker.py` are sent to the device and know nothing of edgevit. Over stdin and stdout go messages: a line of JSON,
and after it as many bytes as its "bytes" says. It answers each order with {"reply": ...} or {"error": {"kind", "message"}}, and
meanwhile says {"alive": true} every few seconds, so that a dead connection is told from a slow model. When its stdin ends, it
ends, and what it is running with it. Files are named by whoever sends them, never by a user.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HELLO = "edgevit-agent 1"
CHUNK = 1 << 20
PACKAGES = ("ai-edge-litert", "tflite-runtime", "executorch", "coremltools", "torch", "numpy")
LOG_TAIL = 2000


class Fault(Exception):
    """Something that goes back as an error, of a `kind` that the other side knows."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind, self.message = kind, message


class Agent:
    def __init__(self):
        self.out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever prints here must not break the messages
        self.lock, self.worker = threading.Lock(), None
        self.root = self.folder = None
        self.held = None
        self.grace = 0.0
        self.left = False

    def say(self, message, payload=b""):
        if payload:
            message["bytes"] = len(payload)
        with self.lock:
            self.out.write(json.dumps(message).encode() + b"\n" + payload)
            self.out.flush()

    def serve(self):
        self.out.write(HELLO.encode() + b"\n")
        self.out.flush()
        threading.Thread(target=self.beat, daemon=True).start()
        orders = Orders(self)
        for order, payload in orders:
            try:
                reply, answer = getattr(self, "do_" + order["do"])(payload, **order.get("with", {}))
                self.say({"reply": reply}, answer)
            except Fault as error:
                self.say({"error": {"kind": error.kind, "message": error.message}})
            except OSError as error:
                kind = "full" if error.errno in (28, 122) else "file"
                self.say({"error": {"kind": kind, "message": f"{os.strerror(error.errno or 0)}: {self.free()}"}})
            if self.left:
                break

    def beat(self):
        while True:
            time.sleep(3)
            with contextlib.suppress(OSError):
                self.say({"alive": True})

    def free(self):
        place = self.folder or self.root or tempfile.gettempdir()
        return f"{shutil.disk_usage(place).free / 1e6:.0f} MB free in {place}" if os.path.isdir(place) else place

    def do_hello(self, payload, run, since, grace, wait):
        """Take the device for a run, and say what it is. The same run may come again after its connection was cut.

        Without a run it is not taken, and may be at work for others.
        """
        if not run:
            self.left = True
            return facts(), b""
        self.grace, self.since = grace, since
        self.root = place()
        self.held = hold(self.root, run, wait)
        self.folder = os.path.join(self.root, run)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with open(os.path.join(self.folder, "alive"), "w") as file:
            file.write(f"{os.getpid()} {time.time()}")
        return facts(), b""

    def inside(self, name):
        """A path within the run's folder, whatever comes over the wire."""
        path = os.path.normpath(os.path.join(self.folder, name))
        if not path.startswith(self.folder + os.sep):
            raise Fault("file", f"a name that leads out of the folder: {name!r}")
        return path

    def do_size(self, payload, name, sha256):
        """How many bytes of a file are there, of those that are on the way too; -1 where it is whole."""
        path = self.inside(name)
        if os.path.isfile(path) and digest(path) == sha256:
            return -1, b""
        return os.path.getsize(path + ".part") if os.path.isfile(path + ".part") else 0, b""

    def do_put(self, payload, name, offset):
        path = self.inside(name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        try:
            with open(path + ".part", "ab") as file:
                file.truncate(offset)
                file.write(payload)
                file.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.remove(path + ".part")
            raise
        return offset + len(payload), b""

    def do_whole(self, payload, name, sha256):
        path = self.inside(name)
        if digest(path + ".part") != sha256:
            os.remove(path + ".part")
            raise Fault("changed", f"{name} came changed")
        os.replace(path + ".part", path)
        return True, b""

    def do_work(self, payload, order, limit):
        """A worker's whole life. What it says on the way is passed on; its own answer file comes with the reply."""
        files = {}
        for key in ("file", "pixels", "into"):
            if order.get(key):
                path = order[key] if os.path.isabs(order[key]) else self.inside(order[key])
                files[key] = path
        done = self.run(dict(order, since=self.since, **files), limit)
        if "into" not in files:
            return done, b""
        with open(files["into"], "rb") as file:
            return done, file.read()

    def run(self, order, limit):
        with tempfile.TemporaryFile() as log:
            read, write = os.pipe()
            try:
                worker = subprocess.Popen(
                    [sys.executable, os.path.join(self.folder, "worker.py")],
                    stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[write], cwd=self.folder,
                )  # fmt: skip
            finally:
                os.close(write)
            self.worker = worker
            timer = threading.Timer(limit, worker.kill)
            timer.start()
            started = time.monotonic()
            try:
                worker.stdin.write(json.dumps(dict(order, pipe=write)).encode() + b"\n")
                worker.stdin.close()
                with os.fdopen(read, "rb") as pipe:
                    last = self.listen(pipe)
                code = worker.wait()
            finally:
                timer.cancel()
                self.worker = None
            if last is None and time.monotonic() - started >= limit:
                raise Fault("hang", f"not done after {limit:.0f} s, and ended")
            return self.outcome(last, code, log)

    def listen(self, pipe):
        for line in pipe:
            try:
                message = json.loads(line)
            except ValueError:
                raise Fault("garbage", f"it said what is no message: {line[:60]!r}") from None
            if not isinstance(message, dict):
                raise Fault("garbage", f"it said what is no message: {line[:60]!r}")
            if "done" in message or "error" in message:
                return message
            self.say(message)
        return None

    def outcome(self, last, code, log):
        if last is None:
            log.seek(max(0, log.seek(0, 2) - LOG_TAIL))
            said = first_line("\n".join(reversed(log.read().decode("utf-8", "replace").strip().splitlines())))
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            memory = ", perhaps out of memory" if -code == signal.SIGKILL else ""
            raise Fault("died", f"{how}{memory}{': ' + said if said else ''}")
        if "error" in last:
            raise Fault(last["error"]["kind"], last["error"]["message"])
        return last["done"]

    def do_bye(self, payload, keep):
        self.left = True
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.folder, b""

    def cut(self):
        """The connection ended without a word: end the worker, and remove everything if nobody comes back in time."""
        if self.worker:
            self.worker.kill()
        if self.held and not self.left:
            self.held.close()
            linger(self.folder, self.root, self.grace)
        os._exit(0)


class Orders:
    """What comes in, read by a thread of its own, so that an end is noticed while a worker runs."""

    def __init__(self, agent):
        self.agent, self.waiting = agent, queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        stream = sys.stdin.buffer
        while True:
            line = stream.readline()
            if not line:
                break
            order = json.loads(line)
            if order["do"] == "leave":  # at once, whatever runs
                self.agent.grace = 0.0
                break
            payload = stream.read(order.get("bytes", 0))
            if len(payload) < order.get("bytes", 0):
                break
            self.waiting.put((order, payload))
        self.agent.cut()

    def __iter__(self):
        while True:
            yield self.waiting.get()


def place():
    """A folder of this user's alone, where there is room for models."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    for base in (home, tempfile.gettempdir()):
        root = os.path.join(base, f"edgevit-device-{os.getuid()}")
        try:
            os.makedirs(root, mode=0o700, exist_ok=True)
        except OSError:
            continue
        if os.stat(root).st_uid == os.getuid() and os.access(root, os.W_OK):
            return root
    raise Fault("file", f"no folder to write to: neither {home} nor {tempfile.gettempdir()}")


def hold(root, run, wait):
    """The lock of this device, for as long as the file that is returned stays open. Raises Fault for one that others hold."""
    import fcntl

    file = open(os.path.join(root, "lock"), "a+")  # noqa: SIM115  (it is held open)
    ends = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            holder = holder_of(file)
            if holder.get("run") == run:  # this very run, whose connection was cut and that has not noticed
                with contextlib.suppress(OSError):
                    os.kill(int(holder.get("pid", 0)) or os.getpid() + 10**9, signal.SIGTERM)
                ends = max(ends, time.monotonic() + 1)
            if time.monotonic() > ends:
                since = time.strftime("%H:%M:%S", time.localtime(holder.get("since", 0)))
                raise Fault("busy", "another bench runs on it: process {}, since {}".format(holder.get("pid"), since)) from None
            time.sleep(0.1)
    file.seek(0)
    file.truncate()
    file.write(json.dumps({"run": run, "pid": os.getpid(), "since": time.time()}))
    file.flush()
    return file


def holder_of(file):
    file.seek(0)
    try:
        found = json.loads(file.read() or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def linger(folder, root, grace):
    """Leave a process behind that removes the folder, if its run has not come back by then."""
    stamp = read_text(os.path.join(folder, "alive"))
    if grace and os.fork():
        return
    if grace:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        os.closerange(3, 256)  # else the connection stays open for as long as this waits
        time.sleep(grace)
    if read_text(os.path.join(folder, "alive")) == stamp:
        shutil.rmtree(folder, ignore_errors=True)


def read_text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def first_line(text):
    return (text.strip().splitlines() or [""])[0][:300]


def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            found.update(chunk)
    return found.hexdigest()


def facts():
    import importlib.metadata

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    memory = None
    with contextlib.suppress(ValueError, OSError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "name": model_name(), "system": f"{platform.system()} {platform.release()}", "processor": platform.machine(),
        "cores": os.cpu_count(), "memory": memory, "runtimes": versions,
    }  # fmt: skip


def model_name():
    """A board's own name, or the processor's."""
    board = read_text("/proc/device-tree/model").strip("\0")
    if board:
        return board
    for line in read_text("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Hardware", "cpu model")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main():
    agent = Agent()
    signal.signal(signal.SIGTERM, lambda *_: agent.cut())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other side, which then ends us in order
    signal.signal(signal.SIGHUP, lambda *_: agent.cut())
    agent.serve()


if __name__ == "__main__":
    main()
