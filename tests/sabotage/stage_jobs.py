"""Jobs for stages that end in every way a job can end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from edgevit.errors import BadInput, EdgevitError, LoadFailed, UnknownName
from edgevit.types import Delegation, Exported, Latency, Outcome, Progress


class OurOwn(EdgevitError):
    """A child of ours that errors.py does not know."""


def noun(folder: Path, numbers: tuple[int, ...], outcome: Outcome, absent: str | None) -> Exported:
    assert isinstance(folder, Path) and isinstance(numbers, tuple) and isinstance(outcome, Outcome) and absent is None
    return Exported(f"{folder}/{outcome}", Delegation(*numbers), ())


def nouns() -> list[Latency]:
    return [Latency("a", "host", 1.5, threads=2), Latency("b", "none", reason="not here")]


def number(value: float) -> float:
    return value if value >= 0 else float({-1: "inf", -2: "-inf", -3: "nan"}[int(value)])


def text(length: int) -> str:
    return "ü" * length


def process() -> int:
    return os.getpid()


def progressing(steps: int, progress: Progress) -> None:
    for step in range(steps):
        progress("counting", step + 1, steps)
    progress("who knows", 0, None)


def ours(kind: str) -> None:
    if kind == "UnknownName":
        raise UnknownName("target", "corml", ["coreml", "tflite"])
    raise {"BadInput": BadInput, "LoadFailed": LoadFailed, "OurOwn": OurOwn}[kind](f"a {kind} [red]", "a hint: ä")


def theirs() -> None:
    print("a word on stdout")
    sys.stderr.write("a word on stderr\n")
    os.write(1, b"not text: \xff\xfe\n")
    raise ValueError("first line\nsecond line")


def wordless() -> None:
    raise RuntimeError


def os_error(number: int) -> None:
    raise OSError(number, os.strerror(number), "/some/file")


def shout(megabytes: int) -> int:
    for _ in range(megabytes):
        sys.stdout.write("x" * ((1 << 20) - 1) + "\n")
    return megabytes


def die(how: str) -> None:
    print("last words", flush=True)
    if how.startswith("exit"):
        sys.exit({"exit": 3, "exit in words": "the reason"}[how])
    if how == "abort":
        os.abort()
    os.kill(os.getpid(), getattr(signal, how))


def crash_at_exit() -> int:
    """As native libraries do whose threads outlive them."""
    import atexit

    atexit.register(os.abort)
    return 7


def leave_a_thread() -> int:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return 8


def sleep(flag: Path, how: str) -> None:
    """Ten minutes: `python` as Python sleeps, `native` as a library that neither returns nor lets go of the interpreter."""
    flag.with_suffix(".new").write_text(str(os.getpid()))
    os.replace(flag.with_suffix(".new"), flag)
    if how == "native":
        ctypes.PyDLL(None).sleep(600)
    while True:
        time.sleep(600)


def litter(note: Path, how: str) -> None:
    """Leave temporary files, and their place in `note`, as converters do."""
    folder = tempfile.mkdtemp()
    Path(folder, "model").write_text("model")
    note.write_text(folder)
    if how == "abort":
        os.abort()


def hold(megabytes: int) -> int:
    return len(b"x" * (megabytes << 20))


def surroundings() -> dict[str, str]:
    """What a child has of its parent; and whether it has torch before it asks for it."""
    there = "torch" in sys.modules
    import torch

    found = {"A_VARIABLE": os.environ.get("A_VARIABLE", ""), "folder": os.getcwd(), "parent": str(os.getppid())}
    return {**found, "torch": str(there), "threads": str(torch.get_num_threads())}


def imported(names: tuple[str, ...]) -> bool:
    return all(name in sys.modules for name in names)
