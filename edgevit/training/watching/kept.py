"""`watch.json` in the folder of a run: where it was trained, its name at each service, so that it goes on there, and faults."""

from __future__ import annotations

import dataclasses
import re
import threading
from pathlib import Path

from edgevit import folder, record
from edgevit.errors import DamagedFile
from edgevit.types import Watched

FILE = "watch.json"
ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


class Kept:
    """Written whole at every change, from whichever thread. What went wrong before the run went on is over."""

    def __init__(self, run: Path, found: Watched, machine: str) -> None:
        self.path, self.lock = run / FILE, threading.Lock()
        machines = (*found.machines, *[machine] * (machine not in found.machines))
        self.found = Watched()
        self._change(machines=machines, ids=found.ids)

    def id(self, watcher: str, name: str) -> None:
        self._change(ids={**self.found.ids, watcher: name})

    def fault(self, watcher: str, words: str) -> None:
        self._change(faults={**self.found.faults, watcher: words})

    def _change(self, **fields: object) -> None:
        with self.lock:
            self.found = dataclasses.replace(self.found, **fields)  # type: ignore[arg-type]
            folder.write_whole(self.path, record.encode(self.found))


def read(run: Path) -> Watched:
    """What is kept in the folder of a run; nothing where there is no such file. Raises DamagedFile."""
    path = run / FILE
    if not path.exists():
        return Watched()
    found = record.read(path, Watched)
    if wrong := [name for name, value in found.ids.items() if not ID.fullmatch(value)]:
        raise DamagedFile(f"{path}: no name of a run of {wrong[0][:40]}", record.OTHER)
    return found
