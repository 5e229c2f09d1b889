"""Our folder on an Android device, and the lock that keeps two runs from measuring at once.

Every name in it is ours, so that no name of the user's reaches a shell. What is sent goes to a name of the moment, is hashed
there, and is renamed, so that a step which was cut off can be begun again.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import secrets
import shlex
import socket
import time
from pathlib import Path

from edgevit.errors import DeviceFault
from targets.devices.android.process import END
from targets.devices.android.shell import FULL, LONG, Adb, first_line

BASE = "/data/local/tmp"
"""Where every shell may write and execute."""
LOCK = f"{BASE}/edgevit-lock"
ALTERED = 8
SPACE = "free some space on the device"
SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
HASH = re.compile(r"^\\?([0-9a-f]{64})\b", re.MULTILINE)


class Folder:
    """A folder of one run, and the lock. `take` first, `leave` last."""

    def __init__(self, adb: Adb) -> None:
        run = secrets.token_hex(6)
        self._adb, self.path, self._there = adb, f"{BASE}/edgevit-{run}", dict[str, str]()
        since = time.strftime("%F %T UTC", time.gmtime())
        self._owner = f"{_user()} on {socket.gethostname()}, process {os.getpid()}, since {since}, run {run}"
        self._taken = False

    def take(self) -> None:
        """Raises DeviceFault where another run has the device, and says whose."""
        owner = f"{LOCK}/owner"
        said = self._adb.steady(
            lambda: self._adb.shell(
                f"mkdir {LOCK} 2>/dev/null && printf '%s\\n' {shlex.quote(self._owner)} > {owner}\n"
                f"[ -d {LOCK} ] || exit 7\ncat {owner}\n"
                f'[ "$(cat {owner})" = {shlex.quote(self._owner)} ] || exit 0\n'
                f"mkdir -p {self.path} && chmod 700 {self.path} || exit 7"
            )
        )
        self._taken = said.out.strip() == self._owner
        if said.code == 7:
            self.leave()
            raise DeviceFault(f"nothing can be written in {BASE} of {self._adb.serial}", SPACE)
        if not self._taken:
            hint = f"wait until it is done; if it is over: adb -s {shlex.quote(self._adb.serial)} shell rm -r {LOCK}"
            raise DeviceFault(f"{self._adb.serial} is taken by {first_line(said.out) or 'a run that did not say whose'}", hint)

    def run(self, command: str, doing: str) -> str:
        """What a short command of ours says. Raises DeviceFault where it fails."""
        said = self._adb.steady(lambda: self._adb.shell(command, LONG))
        if said.code and FULL.search(said.all):
            raise DeviceFault(f"no space left on {self._adb.serial}: {first_line(said.err or said.out)}", SPACE)
        if said.code:
            raise DeviceFault(f"the device could not {doing}: {first_line(said.err or said.out) or f'status {said.code}'}")
        return said.out

    def place(self, name: str) -> str:
        if not SAFE.fullmatch(name):
            raise ValueError(f"no name of ours: {name!r}")
        return f"{self.path}/{name}"

    def put(self, file: Path, name: str, sha256: str) -> None:
        """Send `file` as `name`, unless it is there. Raises DeviceFault where something else arrives, twice."""
        if self._there.get(name) == sha256:
            return
        place, size = self.place(name), file.stat().st_size
        for _ in range(2):
            self._adb.steady(lambda: self._send(file, f"{place}.part"))
            if self._settled(place, sha256, size):
                self._there[name] = sha256
                return
        raise DeviceFault(
            f"what arrived on {self._adb.serial} is not what was sent", "look at the cable, and whether the file changed"
        )

    def _settled(self, place: str, sha256: str, size: int) -> bool:
        """Whether those bytes arrived; then they have their name, and had it if an answer to this was cut off."""
        said = self._adb.steady(
            lambda: self._adb.shell(
                f"f={place}.part; [ -f $f ] || f={place}\n"
                f'[ "$(wc -c < $f)" -eq {size} ] && [ "$(sha256sum $f | cut -c 1-64)" = {sha256} ] || exit {ALTERED}\n'
                f"chmod 700 $f && {{ [ $f = {place} ] || mv -f $f {place}; }}",
                LONG,
            )
        )
        if said.code not in (0, ALTERED):
            raise DeviceFault(f"the device could not name a file: {first_line(said.err or said.out)}")
        return said.code == 0

    def _send(self, file: Path, place: str) -> None:
        try:
            self._adb.push(file, place)
        except DeviceFault as fault:
            if "no space" in fault.message:
                self._adb.shell(f"rm -f {place}")
            raise

    def get(self, name: str, sha256: str, to: Path) -> bytes:
        """What `name` holds on the device, which hashes it to `sha256`. `to` is a file of ours for the moment."""
        for _ in range(2):
            self._adb.steady(lambda: self._adb.pull(self.place(name), to))
            content = to.read_bytes()
            if hashlib.sha256(content).hexdigest() == sha256:
                return content
        raise DeviceFault(f"what came from {self._adb.serial} is not what it held", "look at the cable")

    def leave(self, keep: bool = False) -> None:
        """End what runs of ours, remove all of it, and the lock if it is ours. With `keep` the folder stays."""
        if not self._taken:
            return
        self._taken = False
        away = f"cd {self.path} 2>/dev/null && {{ {END}; }}; cd /; " + ("" if keep else f"rm -rf {self.path}; ")
        owned = f'[ "$(cat {LOCK}/owner 2>/dev/null)" = {shlex.quote(self._owner)} ]'
        try:
            self.run(f"{away}! {owned} || rm -rf {LOCK}", "remove our files")
        except DeviceFault as fault:
            left = f"left there: {self.path} and {LOCK}; adb -s {shlex.quote(self._adb.serial)} shell rm -r {self.path} {LOCK}"
            raise type(fault)(fault.message, left) from fault


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
