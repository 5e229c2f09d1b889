"""A device with an agent on it: this machine, or one behind ssh."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgevit.errors import DeviceFault
from edgevit.folder import sha256
from edgevit.types import Asked, DeviceFacts, Launch, Model, Moment, Unit
from targets.devices.link import Link

WORKER = Path(__file__).parent / "worker.py"
CHUNK = 1 << 20
LIMIT = 600.0
"""Seconds that a launch may take before it counts as hung, and as many more as a second for each run."""
EVERY = 1.0
"""Seconds of each moment of a sustained run."""
UNITS = {"coreml": (Unit.CPU, Unit.GPU, Unit.NPU, Unit.ALL)}
"""Of a runtime; the CPU alone of others."""

Telling = Callable[[str, float, float | None], None]


def facts(spec: str, link: Link) -> DeviceFacts:
    """What a device says of itself, which others may be using meanwhile."""
    try:
        return _read(spec, link.greet(run="", since=0.0, grace=0.0, wait=0.0), DeviceFacts)
    finally:
        link.close(keep=False)


def _read(spec: str, told: object, kind: type[Any]) -> Any:
    """What the device said, as a noun. Raises DeviceFault where it is none."""
    if kind is DeviceFacts and isinstance(told, dict):
        told = {**told, "spec": spec}
    try:
        return msgspec.convert(told, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise DeviceFault(f"{spec}: what it says is no {kind.__name__}: {error}") from error


class LinkedDevice:
    """`near`: it sees this machine's files, so that nothing is sent."""

    def __init__(self, spec: str, link: Link, near: bool, wait: float, limit: float = LIMIT, grace: float = 600.0) -> None:
        self._spec, self._link, self._near, self._limit = spec, link, near, limit
        self._since = time.time()
        self._sent: dict[str, str] = {}
        run = secrets.token_hex(8)
        told = link.greet(run=run, since=self._since, grace=0.0 if near else grace, wait=wait)
        self.facts = self._read(told, DeviceFacts)
        try:
            self._put(WORKER, "worker.py", _silent)
        except BaseException:
            link.close(keep=False)
            raise

    def units(self, model: Model) -> tuple[Unit, ...]:
        return UNITS.get(model.runtime, (Unit.CPU,))

    def send(self, model: Model, progress: Telling) -> None:
        if model.sha256 in self._sent:
            return
        if self._near:
            self._sent[model.sha256] = str(model.file.resolve())
            return
        name = f"model-{model.sha256[:16]}{model.file.suffix if model.file.suffix in SUFFIXES else ''}"
        for file in sorted(path for path in [model.file, *model.file.rglob("*")] if path.is_file()):
            inner = file.relative_to(model.file).as_posix()
            self._put(file, name if inner == "." else f"{name}/{inner}", progress)
        self._sent[model.sha256] = name

    def _put(self, file: Path, name: str, progress: Telling) -> None:
        """Put a file there, going on where an earlier try was cut, and see that it came whole."""
        wanted = sha256(file)
        size = file.stat().st_size
        for _ in range(2):
            try:
                self._send_rest(file, name, wanted, size, progress)
                return
            except DeviceFault as error:
                fault = error
                if "came changed" not in error.message:
                    raise
        raise fault

    def _send_rest(self, file: Path, name: str, wanted: str, size: int, progress: Telling) -> None:
        done, _ = self._link.ask("size", name=name, sha256=wanted)
        if done == -1:
            return
        with file.open("rb") as opened:
            while True:
                opened.seek(done)
                chunk = opened.read(CHUNK)
                done = self._place(name, done, chunk, wanted)
                if done >= size:
                    break
                progress(f"sending to {self._spec}", done, size)
        self._link.ask("whole", name=name, sha256=wanted)

    def _place(self, name: str, done: int, chunk: bytes, wanted: str) -> int:
        told, _ = self._link.ask("put", chunk, name=name, offset=done)
        if told != done + len(chunk):
            raise DeviceFault(f"{self._spec}: it lost what it was sent")
        return done + len(chunk)

    def launch(self, model: Model, asked: Asked) -> Launch:
        told, _ = self._work("launch", model, asked, lambda _: None, limit=self._limit + asked.runs + asked.warmup)
        return self._read(told, Launch)

    def sustain(self, model: Model, asked: Asked, seconds: float, progress: Callable[[Moment], None]) -> tuple[Moment, ...]:
        """Where the connection is cut meanwhile, it begins again, and the moments before stay: their seconds tell of the gap."""
        found: list[Moment] = []

        def heard(message: dict[str, Any]) -> None:
            if "moment" in message:
                found.append(self._read(message["moment"], Moment))
                progress(found[-1])

        self._work("sustain", model, asked, heard, limit=self._limit + seconds, seconds=seconds, every=EVERY)
        return tuple(found)

    def answers(self, model: Model, asked: Asked, pixels: np.ndarray) -> np.ndarray:
        data = np.ascontiguousarray(pixels).tobytes()
        self._link.ask("put", data, name="pixels", offset=0)
        limit = self._limit + 10 * len(pixels)
        told, logits = self._work("answers", model, asked, lambda _: None, limit, pixels="pixels.part", into="answers")
        shape = self._read(told, dict[str, list[int]]).get("shape", [])
        if len(shape) != 2 or shape[0] != len(pixels) or 4 * shape[0] * shape[1] != len(logits):
            raise DeviceFault(f"{self._spec}: {len(pixels)} images went there, and the answers are not as many")
        return np.frombuffer(logits, "<f4").reshape(shape).astype(np.float32)

    def _work(self, job: str, model: Model, asked: Asked, heard: Any, limit: float, **more: Any) -> tuple[Any, bytes]:
        crop = model.preprocess.crop
        order = {
            "job": job, "file": self._sent[model.sha256], "runtime": model.runtime, "unit": asked.unit.value,
            "threads": asked.threads or 0, "affinity": asked.affinity, "runs": asked.runs, "warmup": asked.warmup,
            "size": list(crop), "mean": list(model.preprocess.mean), "std": list(model.preprocess.std), **more,
        }  # fmt: skip
        return self._link.ask("work", heard=heard, order=order, limit=limit)

    def _read(self, told: object, kind: type[Any]) -> Any:
        return _read(self._spec, told, kind)

    def close(self, keep: bool = False) -> None:
        self._link.close(keep)


SUFFIXES = (".tflite", ".pte", ".mlpackage")


def _silent(label: str, done: float, total: float | None) -> None:
    pass
