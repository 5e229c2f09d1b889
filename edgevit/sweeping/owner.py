"""Who does a trial, and whether it still lives."""

from __future__ import annotations

import functools
import os
import socket
import time
from pathlib import Path
from typing import Any

from edgevit import folder


def host() -> str:
    return socket.gethostname()[:100]


def me(beat: int) -> dict[str, Any]:
    """This process, as it stands at its trial; `beat` counts its signs of life."""
    return {"place": _place(), "pid": os.getpid(), "beat": beat}


@functools.cache
def _place() -> str:
    """Where a process number means this very process: the host since it was started, and the container."""
    parts = [host()]
    for read in (lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(), lambda: os.readlink("/proc/self/ns/pid")):
        try:
            parts.append(read())
        except OSError:
            parts.append("")
    return " ".join(parts)


class Seen:
    """What was seen of others' signs of life. The clocks of two machines are never compared: `grace` is by this one's."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._beats: dict[int, tuple[object, float]] = {}

    def dead(self, record: int, found: object) -> bool:
        """Whether the owner `found` at a `record` has ended: at once where it was a process of this machine."""
        said = found if isinstance(found, dict) else {}
        pid = said.get("pid")
        if said.get("place") == _place() and isinstance(pid, int) and not (0 < pid < 1 << 31 and folder.alive(pid)):
            return True
        beat, now = (said.get("place"), pid, said.get("beat")), time.monotonic()
        if record not in self._beats or self._beats[record][0] != beat:
            self._beats[record] = (beat, now)
            return False
        return now - self._beats[record][1] > self._grace
