"""A real sshd on loopback for tests, with keys of its own, and a proxy before it that cuts connections when it is told to."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

SSHD = shutil.which("sshd", path=os.defpath + ":/usr/sbin:/usr/local/sbin")
"""It wants to be called by its whole path."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Server:
    """sshd on `port`, which lets in whoever has the key that `config`, an ssh_config, names."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def config(self) -> Path:
        return self.folder / "ssh_config"

    def new_host_key(self) -> None:
        """As if another machine answered under the same name."""
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {_key(self.folder, 'other')}\n")


def start(folder: Path) -> Server:
    port = free_port()
    _key(folder, "host")
    (folder / "authorized_keys").write_text(_key(folder, "user") + "\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\n"
        f"PidFile {folder}/pid\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nAcceptEnv *\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True) if os.getuid() == 0 else None
    assert SSHD
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=(folder / "log").open("wb"))
    trust(folder, port)
    (folder / "ssh_config").write_text(
        f"Host *\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n"
        f"  GlobalKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return Server(folder, port, process)
        time.sleep(0.05)
    raise AssertionError((folder / "log").read_text())


def trust(folder: Path, port: int) -> None:
    """Know the host's key under that port too."""
    with (folder / "known_hosts").open("a") as known:
        known.write(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text().strip()}\n")


def _key(folder: Path, name: str) -> str:
    if not (folder / name).exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    return (folder / f"{name}.pub").read_text().strip()


@dataclass
class Proxy:
    """Bytes between a port of its own and the server's. `cut_after` so many of them towards the server it drops everything.

    The next `refusals` connections after that are dropped too.
    """

    to: int
    cut_after: list[int] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    cuts: int = 0

    def start(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # which ends `accept`, as closing alone would not
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self.to))
                limit = self.cut_after.pop(0) if self.cut_after else None
                threading.Thread(target=self._pass, args=(near, far, limit), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, None), daemon=True).start()

    def _pass(self, source: socket.socket, into: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 15):
                passed += len(data)
                if limit is not None and passed > limit:
                    self.cuts += 1
                    break
                into.sendall(data)
        for end in (source, into):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
