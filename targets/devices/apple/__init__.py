"""Macs, iPhones and iPads by coremltools' own benchmarker, compute plan and remote device (docs/apple.md)."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgevit.errors import BadInput, DeviceFault, EdgevitError, NoRuntime, NotInstalled
from edgevit.types import Asked, DeviceFacts, Input, Launch, Model, Moment, Placed, Unit
from edgevit.versions import version
from targets.devices.apple import conditions as apple_conditions
from targets.devices.apple import process as apple_process
from targets.devices.apple.elsewhere import elsewhere
from targets.devices.apple.order import Order, Phone, Said, Signing

UNITS = (Unit.CPU, Unit.GPU, Unit.NPU, Unit.ALL)
LISTING = 120.0
"""Seconds for devicectl to list what is connected, and for coremltools to be imported, which alone may take half a minute."""
MAC, PHONE = (600.0, 10.0), (1800.0, 20.0)
"""Seconds that a task may take, and more for each image: coremltools asks a phone by files, and Xcode builds ModelRunner."""
RUNNER = "com.coremltools.modelrunnerd"
NOT_HERE = "Core ML runs on Apple's systems only"
NO_TIMES = "what was measured makes no sense: times that are no times, or not as many as were asked for"
ELSEWHERE = "run this command on a Mac; an iPhone is plugged into one"


def open_macos() -> AppleDevice:
    """This Mac. Raises NoRuntime anywhere else, NotInstalled without coremltools."""
    _require_mac("macos")
    return AppleDevice(apple_conditions.facts(), None)


def open_ios(udid: str | None) -> AppleDevice:
    """The phone or tablet with that UDID, or the only one that is connected. Raises what `open_macos` does, and DeviceFault."""
    _require_mac("ios")
    phone = _chosen(apple_process.ask(Order("phones"), LISTING).phones, udid)
    return AppleDevice(_facts(phone), phone)


def reachable() -> tuple[DeviceFacts, ...]:
    """This Mac and what is plugged into it; where nothing can be measured, why."""
    try:
        _require_mac("macos")
    except EdgevitError as error:
        return (DeviceFacts("macos", reason=error.message, hint=error.hint),)
    try:
        phones = apple_process.ask(Order("phones"), LISTING).phones
    except DeviceFault as error:
        return (apple_conditions.facts(), DeviceFacts("ios", reason=error.message, hint=error.hint))
    return (apple_conditions.facts(), *map(_facts, phones))


def _require_mac(spec: str) -> None:
    if sys.platform != "darwin":
        raise NoRuntime(f"{spec}: {NOT_HERE}", ELSEWHERE)
    if version("coremltools") is None:
        raise NotInstalled(f"{spec} needs what is not installed: coremltools", "pip install 'edgevit[coreml]'")


def _chosen(phones: tuple[Phone, ...], udid: str | None) -> Phone:
    if udid is not None:
        found = [phone for phone in phones if phone.udid.lower() == udid.lower()]
    else:
        found = [phone for phone in phones if phone.state == "connected"] or list(phones[:2])
    known = ", ".join(f"ios:{phone.udid} ({phone.name})" for phone in phones)
    if not found:
        asked = f"no iPhone or iPad with the UDID {udid[:64]}" if udid else "no iPhone or iPad"
        raise DeviceFault(
            f"ios: {asked} is known to this Mac", f"known: {known}" if known else "plug one in, unlock it, trust the Mac"
        )
    if len(found) > 1:
        raise DeviceFault(f"ios: {len(found)} devices to choose from", f"name one: {known}")
    facts = _facts(found[0])
    if facts.reason:
        raise DeviceFault(f"{facts.spec}: {facts.reason}", facts.hint)
    return found[0]


def _facts(phone: Phone) -> DeviceFacts:
    reason, hint = "", ""
    if phone.developer == "disabled":
        reason, hint = "its developer mode is off", "switch it on: Settings, Privacy & Security, Developer Mode; it restarts"
    elif phone.state != "connected":
        reason = f"it is {phone.state or 'not connected'}, and coremltools wants it connected"
        hint = "plug it in, unlock it, and open Xcode's window Devices and Simulators once"
    system, runtimes = f"{phone.system} {phone.build}".strip(), {"coremltools": version("coremltools") or ""}
    return DeviceFacts(f"ios:{phone.udid}", phone.name, f"iOS {system}".strip(), runtimes=runtimes, reason=reason, hint=hint)


class AppleDevice:
    """This Mac, or a phone that is plugged into it. Each task is a process of its own, and on a phone ModelRunner starts anew."""

    def __init__(self, facts: DeviceFacts, phone: Phone | None) -> None:
        self.facts = facts
        self._phone = phone
        self._began = time.time()
        self._work = Path(tempfile.mkdtemp(prefix="edgevit-apple-"))
        self._signing = Signing(*(os.environ.get(f"EDGEVIT_APPLE_{name}", "") for name in ("TEAM", "PROFILE", "BUNDLE")))
        self._elsewhere: dict[tuple[str, Unit], str] = {}
        self._ran = False

    def units(self, model: Model) -> tuple[Unit, ...]:
        """All that Core ML may compute on, for its packages. The CPU takes what the GPU or the Neural Engine does not."""
        return UNITS if model.runtime == "coreml" else ()

    def send(self, model: Model, progress: Callable[[str, float, float | None], None]) -> None:
        """Nothing is sent ahead: coremltools compiles and sends the package with every launch."""
        if model.runtime != "coreml":
            raise DeviceFault(f"{self.facts.spec}: it runs packages of Core ML, and none for {model.runtime}")
        if self._phone and model.input is Input.PIXELS:
            raise DeviceFault(
                f"{self.facts.spec}: coremltools hands phones tensors and no images", "export it with --input tensor"
            )
        if not model.file.is_dir():
            raise BadInput(f"no package there: {model.file}")

    def launch(self, model: Model, asked: Asked) -> Launch:
        """Single times of every run. Operators that the plan puts elsewhere are named; macOS drops no page cache without root."""
        self._require(asked)
        before = apple_conditions.now(self._began) if self._phone is None else None
        said = self._ask(self._order("launch", model, asked), 3 + asked.runs + asked.warmup)
        if said.launch is None:
            raise DeviceFault(f"{self.facts.spec}: nothing was measured")
        _require_times(said.launch, asked.runs)
        after = apple_conditions.now(self._began) if self._phone is None else None
        return replace(said.launch, before=before, after=after, elsewhere=self._planned_elsewhere(model, asked))

    def sustain(self, model: Model, asked: Asked, seconds: float, progress: Callable[[Moment], None]) -> tuple[Moment, ...]:
        self._require(asked)
        moments: list[Moment] = []

        def heard(moment: Moment) -> None:
            if not moment.p50_ms >= 0:
                raise DeviceFault(f"{self.facts.spec}: {NO_TIMES}")
            moments.append(moment)
            progress(moment)

        self._ask(replace(self._order("sustain", model, asked), seconds=seconds), 1, seconds, heard)
        return tuple(moments)

    def answers(self, model: Model, asked: Asked, pixels: np.ndarray) -> np.ndarray:
        """Of a package that takes tensors, its logits; of one that takes pixels, its probabilities."""
        with tempfile.TemporaryDirectory(prefix="edgevit-") as folder:
            order = replace(
                self._order("answers", model, asked), pixels=Path(folder) / "pixels.npy", logits=Path(folder) / "logits.npy"
            )
            np.save(order.pixels, pixels, allow_pickle=False)  # type: ignore[arg-type]
            self._ask(order, len(pixels))
            return _answers(order.logits, len(pixels))  # type: ignore[arg-type]

    def plan(self, model: Model, asked: Asked) -> tuple[Placed, ...]:
        """The unit that Core ML plans each operator for; what then ran was not traced."""
        return self._ask(self._order("plan", model, asked), 1).placed

    def close(self, keep: bool = False) -> None:
        """The app is removed from the phone, and with it all that it was sent, unless `keep`; the build here in any case."""
        if self._phone and self._ran and not keep:
            command = ["xcrun", "devicectl", "device", "uninstall", "app", "--device", self._phone.identifier]
            with suppress(OSError, subprocess.SubprocessError):
                bundle = self._signing.bundle or RUNNER
                subprocess.run([*command, bundle], capture_output=True, timeout=LISTING, stdin=subprocess.DEVNULL)
        shutil.rmtree(self._work, ignore_errors=True)

    def _require(self, asked: Asked) -> None:
        if asked.affinity:
            raise DeviceFault(f"{self.facts.spec}: Apple's systems let nobody choose cores", "leave the cores out")

    def _order(self, verb: str, model: Model, asked: Asked) -> Order:
        udid = self._phone.udid if self._phone else None
        return Order(verb, udid, model, asked, self._began, work=self._work, signing=self._signing)

    def _ask(self, order: Order, images: int, more: float = 0.0, heard: Callable[[Moment], None] | None = None) -> Said:
        self._ran = True
        seconds, each = PHONE if self._phone else MAC
        return apple_process.ask(order, seconds + each * images + more, heard)

    def _planned_elsewhere(self, model: Model, asked: Asked) -> str:
        """Once for each model and unit. A plan that cannot be had costs no measurement, and is said."""
        if asked.unit in (Unit.CPU, Unit.ALL):
            return ""
        key = (model.sha256, asked.unit)
        if key not in self._elsewhere:
            try:
                self._elsewhere[key] = elsewhere(self.plan(model, asked), asked.unit)
            except DeviceFault as error:
                self._elsewhere[key] = f"unknown, Core ML told no plan: {error.message}"
        return self._elsewhere[key]


def _require_times(launch: Launch, runs: int) -> None:
    """A phone says what it measured, and may say anything."""
    told = (launch.cold_ms, launch.warm_ms, launch.first_ms, *launch.times_ms)
    if len(launch.times_ms) != runs or not all(t is not None and math.isfinite(t) and t >= 0 for t in told):
        raise DeviceFault(NO_TIMES)


def _answers(file: Path, images: int) -> np.ndarray:
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DeviceFault("the answers are not there, or no array") from error
    if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.ndim != 2 or len(found) != images:
        raise DeviceFault("the answers are not one row of numbers for each image")
    return found
