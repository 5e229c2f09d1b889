"""Stands for the processor of a phone: runs the "programs" of the tests, which are an ELF header and JSON.

{"kind": "benchmark_model" | "executor_runner", "usage": a file of its usage, "says": a file of what it prints when it measures}.
What `behaves` in the device's folder says goes before. As an answer it gives a few numbers that follow from the image.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
import zlib
from pathlib import Path

CLASSES = 4


def answer(image: bytes, kind: str) -> bytes:
    """float32: the first number of the image, its last, how many there are, and a part of their checksum."""
    letter = {"float32": "f", "uint8": "B"}[kind]
    values = struct.unpack(f"<{len(image) // struct.calcsize(letter)}{letter}", image)
    return struct.pack("<4f", values[0], values[-1], len(values), zlib.crc32(image) & 0xFFFF)


def main(file: str, arguments: list[str]) -> int:
    root = Path(os.environ["FAKE_ROOT"])
    program = json.loads(Path(file).read_bytes()[64:])
    given = dict(word.lstrip("-").partition("=")[::2] for word in arguments)
    behaves = (root / "behaves").read_text() if (root / "behaves").exists() else ""
    with (root / "ran").open("a") as log:
        log.write(json.dumps([file, *arguments]) + "\n")
    if "help" in given:
        print(_recorded(program["usage"]))
        return 1
    if behaves == "hang":
        time.sleep(60)
    if behaves == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaves == "flood":
        while True:
            print("x" * 4096)
    if behaves == "once":  # it answers the first image alone
        if (root / "once").exists():
            print("nothing of it")
            return 0
        (root / "once").touch()
    if behaves.startswith("says "):
        print(behaves[5:])
        return 0
    if behaves.startswith("fails "):
        print(behaves[6:], file=sys.stderr)
        return 1
    if not Path(given.get("graph") or given["model_path"]).is_file():
        print("ERROR: no model", file=sys.stderr)
        return 1
    if "output_filepath" in given:
        image = Path(given["input_layer_value_files"].partition(":")[2]).read_bytes()
        Path(given["output_filepath"]).write_bytes(answer(image, program["takes"]))
    elif "output_file" in given:
        Path(given["output_file"] + "-0.bin").write_bytes(answer(Path(given["inputs"]).read_bytes(), program["takes"]))
    text = _recorded(program["says"])
    if program["kind"] == "benchmark_model":
        print(text)
    else:
        (root / "log").write_text(text.replace("12345", f"{os.getpid():5d}"))
    return 0


def _recorded(name: str) -> str:
    """What a tool printed once; the lines before the dashes say which."""
    return (Path(__file__).parent / "android" / name).read_text().partition("----------\n")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
