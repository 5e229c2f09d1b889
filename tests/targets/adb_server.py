"""An adb server on a loopback port, with one device behind it whose shell is this machine's in a folder of the test.

It speaks adb's protocol as packages/modules/adb describes it (OVERVIEW.TXT, SERVICES.TXT, SYNC.TXT, shell_protocol.h), so that
the real client talks to it. `Faults` says what goes wrong, and how often.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

VERSION = 41
"""Of the server, as the client of platform tools 29 has it: it ends a server of another version and starts its own."""
STDOUT, STDERR, EXIT = 1, 2, 3
STUB = Path(__file__).parent / "android_stub.py"


@dataclass
class Faults:
    """How many more times: the connection ends in a push, in a pull, or in a command that has `word`; a push finds no space.

    The device is away for `away` seconds after each.
    """

    push: int = 0
    pull: int = 0
    shell: int = 0
    word: str = "edgevit-ran"
    full: int = 0
    altered: int = 0
    away: float = 0.0
    until: float = field(default=0.0, repr=False)

    def strike(self, name: str) -> bool:
        left = getattr(self, name)
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        if name in ("push", "pull", "shell"):
            self.until = time.monotonic() + self.away
        return True

    @property
    def connected(self) -> bool:
        return time.monotonic() >= self.until


class Connection:
    """One client's socket."""

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket

    def read(self, count: int) -> bytes:
        held = b""
        while len(held) < count:
            piece = self.socket.recv(count - len(held))
            if not piece:
                raise ConnectionError
            held += piece
        return held

    def request(self) -> str:
        return self.read(int(self.read(4), 16)).decode()

    def finish(self) -> None:
        """Close, once the client has read all: what it sent and nobody read would make a reset of the end."""
        self.socket.shutdown(socket.SHUT_WR)
        while self.socket.recv(4096):
            pass

    def okay(self, text: str | None = None) -> None:
        self.socket.sendall(b"OKAY" + (b"" if text is None else b"%04x" % len(text.encode()) + text.encode()))

    def fail(self, why: str) -> None:
        self.socket.sendall(b"FAIL" + b"%04x" % len(why.encode()) + why.encode())


class Server:
    """Listens until `close`. `root` is the device's file system; `commands` are those that its shell got."""

    def __init__(self, root: Path, serial: str = "R5CT10ABCDE", state: str = "device", others: str = "") -> None:
        self.root, self.serial, self.state, self.others = root, serial, state, others
        self.faults, self.commands, self.features = Faults(), list[str](), "shell_v2,cmd"
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._children: list[subprocess.Popen[bytes]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        self._socket.close()
        for child in self._children:
            if child.poll() is None:
                os.killpg(child.pid, 9)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        connection = Connection(client)
        try:
            with client:
                while self._host(connection, connection.request()):
                    pass
        except (ConnectionError, ValueError, OSError):
            pass

    def _host(self, to: Connection, asked: str) -> bool:
        """A service of the server; afterwards whether the connection goes on to the device."""
        asked = re.sub(r"^host-(?:serial:[^:]+|transport-id:\d+|usb|local):", "host:", asked)
        if asked == "host:version":
            to.okay(f"{VERSION:04x}")
        elif asked == "host:devices-l":
            to.okay(f"{self.serial}  {self.state} product:cheetah model:Pixel_7_Pro transport_id:1\n{self.others}")
        elif asked in ("host:features", "host:host-features"):
            self._present(to) and to.okay(self.features)
        elif asked.startswith("host:wait-for-"):
            to.okay()
            while not self.faults.connected or self.state != "device":
                time.sleep(0.02)
            to.okay()
        elif asked.startswith(("host:transport", "host:tport")):
            if self._present(to):
                to.okay()
                if asked.startswith("host:tport"):
                    to.socket.sendall(struct.pack("<Q", 1))
                self._device(to, to.request())
        else:
            to.fail(f"unknown host service '{asked}'")
        return False

    def _present(self, to: Connection) -> bool:
        if self.faults.connected and self.state == "device":
            return True
        to.fail(f"device '{self.serial}' not found" if self.state == "device" else f"device {self.state}")
        return False

    def _device(self, to: Connection, asked: str) -> None:
        if asked.startswith("shell"):
            to.okay()
            head, _, command = asked.partition(":")
            self._shell(to, command, "v2" in head.split(","))
        elif asked == "sync:":
            to.okay()
            self._sync(to)
        else:
            to.fail("unknown service")

    def _inside(self, text: str) -> str:
        """Paths of the device as those of the folder that stands for it; and what its processor runs, by a stub here."""
        text = re.sub(r"(?<![\w./-])/(data/local/tmp|sys|proc)\b", lambda found: f"{self.root}/{found[1]}", text)
        return re.sub(r"(?<=\s)\./(?=[a-z_]+(?: |$))", f"{sys.executable} -IS {STUB} ./", text)

    def _shell(self, to: Connection, command: str, packets: bool) -> None:
        self.commands.append(command)
        cut = self.faults.word in command and self.faults.strike("shell")
        path = f"{self.root}/bin:/usr/bin:/bin"
        child = subprocess.Popen(
            ["/bin/sh", "-c", self._inside(command)],
            cwd=self.root,
            env={"PATH": path, "FAKE_ROOT": str(self.root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if packets else subprocess.STDOUT,
            start_new_session=True,
        )
        self._children.append(child)
        if cut:  # the cable is pulled while it runs; what runs goes on
            time.sleep(0.05)
            return
        lock = threading.Lock()

        def send(kind: int, data: bytes) -> None:
            with lock:
                to.socket.sendall(struct.pack("<BI", kind, len(data)) + data if packets else data)

        def pump(kind: int, stream: object) -> None:
            try:
                while data := stream.read1(4096):  # type: ignore[attr-defined]
                    send(kind, data)
            except OSError:
                pass

        pumps = [threading.Thread(target=pump, args=(STDOUT, child.stdout), daemon=True)]
        if packets:
            pumps.append(threading.Thread(target=pump, args=(STDERR, child.stderr), daemon=True))
        for thread in pumps:
            thread.start()
        for thread in pumps:
            thread.join()
        code = child.wait()
        if packets:
            send(EXIT, bytes([code & 0xFF]))
        to.finish()

    def _sync(self, to: Connection) -> None:
        while True:
            kind, length = struct.unpack("<4sI", to.read(8))
            if kind == b"QUIT":
                return
            path = to.read(length).decode()
            if kind == b"STAT":
                self._stat(to, Path(self._inside(path)))
            elif kind == b"SEND":
                self._receive(to, Path(self._inside(path.rpartition(",")[0])))
            elif kind == b"RECV":
                self._send(to, Path(self._inside(path)))
            else:
                raise ValueError(f"{kind!r} is not offered: {self.features}")

    def _stat(self, to: Connection, path: Path) -> None:
        found = path.stat() if path.exists() else None
        numbers = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
        to.socket.sendall(b"STAT" + struct.pack("<III", *numbers))

    def _receive(self, to: Connection, path: Path) -> None:
        """A file comes in pieces; a fault ends the connection, fills the disk or alters a byte."""
        if self.faults.strike("push"):
            path.write_bytes(b"half of it")
            raise ConnectionError
        full, content = self.faults.strike("full"), b""
        while True:
            kind, length = struct.unpack("<4sI", to.read(8))
            if kind == b"DONE":
                break
            content += to.read(length)
        if full or not path.parent.is_dir():
            why = b"couldn't create file: No space left on device" if full else b"couldn't create file: No such file or directory"
            to.socket.sendall(b"FAIL" + struct.pack("<I", len(why)) + why)
            return
        if self.faults.strike("altered"):
            content = b"X" + content[1:]
        path.write_bytes(content)
        to.socket.sendall(b"OKAY" + struct.pack("<I", 0))

    def _send(self, to: Connection, path: Path) -> None:
        if not path.is_file():
            why = b"open failed: No such file or directory"
            to.socket.sendall(b"FAIL" + struct.pack("<I", len(why)) + why)
            return
        content = path.read_bytes()
        if self.faults.strike("pull"):
            to.socket.sendall(b"DATA" + struct.pack("<I", len(content)) + content[: len(content) // 2])
            raise ConnectionError
        for start in range(0, len(content), 1 << 16):
            piece = content[start : start + (1 << 16)]
            to.socket.sendall(b"DATA" + struct.pack("<I", len(piece)) + piece)
        to.socket.sendall(b"DONE" + struct.pack("<I", 0))


TOOLS = {
    "getprop": 'grep "^$1=" "$FAKE_ROOT/props" | cut -d= -f2-',
    "dumpsys": 'cat "$FAKE_ROOT/thermal"',
    "logcat": 'cat "$FAKE_ROOT/log" 2>/dev/null',
    "id": 'cat "$FAKE_ROOT/user"',
    "sync": "true",
    "taskset": 'echo "$1" > "$FAKE_ROOT/mask"; shift; exec "$@"',
}
"""What this machine has not, or has for itself."""
PROPS = """\
ro.product.manufacturer=Google
ro.product.model=Pixel 7 Pro
ro.build.version.release=15
ro.build.version.sdk=35
ro.product.cpu.abilist=arm64-v8a
ro.soc.model=GS201
"""
THERMAL = """\
IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
	Temperature{mValue=99.0, mType=0, mName=CPU0, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
	Temperature{mValue=41.5, mType=0, mName=BIG, mStatus=0}
	Temperature{mValue=38.25, mType=1, mName=G3D, mStatus=0}
	Temperature{mValue=100.0, mType=8, mName=soc, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
"""
FILES = {
    "props": PROPS,
    "user": "2000\n",
    "thermal": THERMAL,
    "proc/stat": "cpu  100 0 100 800 0 0 0 0 0 0\n",
    "proc/meminfo": "MemTotal:       11916684 kB\n",
    "sys/devices/system/cpu/present": "0-7\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1803000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "sched_pixel\n",
    "sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq": "2850000\n",
    "sys/devices/system/cpu/cpu7/cpufreq/scaling_governor": "sched_pixel\n",
    "sys/class/thermal/thermal_zone0/temp": "36000\n",
}


def device_files(root: Path) -> None:
    """The file system of a phone, as far as it is read."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "data/local/tmp").mkdir(parents=True)
    (root / "bin").mkdir()
    for name, script in TOOLS.items():
        (root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (root / "bin" / name).chmod(stat.S_IRWXU)
