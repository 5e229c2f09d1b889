"""Android devices through adb: LiteRT's benchmark_model and ExecuTorch's executor_runner, which the user gives."""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgevit import folder as files_here
from edgevit.errors import BadInput, DeviceFault
from edgevit.types import Asked, Contents, DeviceFacts, Launch, Model, Moment, Unit
from targets import files
from targets.devices.android import abi as android_abi
from targets.devices.android import about as android_facts
from targets.devices.android import benchmark_model, executor_runner, raw_images
from targets.devices.android import conditions as android_conditions
from targets.devices.android.answers import answered
from targets.devices.android.folder import Folder
from targets.devices.android.process import Ran, Runner, require_done
from targets.devices.android.shell import Adb, Listed, facts, first_line, listed
from targets.devices.programs import Programs

if TYPE_CHECKING:
    from edgevit.types import Conditions

LIMIT = 600.0
"""Seconds for one launch, at the most."""
BATCH = 16
"""Images that are answered between two copies."""
DROP = "sync; echo 3 > /proc/sys/vm/drop_caches"


@dataclass(frozen=True)
class Tool:
    """A program on the device: its name there, and the options that it has."""

    name: str
    has: frozenset[str]


def reachable(program: str = "") -> tuple[DeviceFacts, ...]:
    """All that adb lists, those that cannot be used with the reason. Raises NotInstalled without adb."""
    return tuple(facts(found) for found in listed(Programs(Path(program) if program else None).client()))


def open_adb(serial: str | None, programs: Programs) -> AdbDevice:
    """The device of that serial, or the only one, with the programs on it and locked for us. Raises DeviceFault, NotInstalled."""
    client = programs.client()
    adb = Adb(client, _chosen(serial, listed(client)).serial)
    said = adb.steady(lambda: adb.shell(android_facts.COMMAND))
    known, takes, root = android_facts.read(adb.serial, said.out)
    given = _given(programs)
    for program in given.values():
        android_abi.require(program, takes)
    folder = Folder(adb)
    folder.take()
    try:
        return AdbDevice(adb, folder, known, given, root)
    except BaseException:
        folder.leave()
        raise


def _given(programs: Programs) -> dict[str, Path]:
    found = {
        "benchmark_model": programs.benchmark_model,
        "answering": programs.answering,
        "executor_runner": programs.executor_runner,
    }
    given = {name: path for name, path in found.items() if path is not None}
    for path in given.values():
        if not path.is_file():
            raise BadInput(f"no such program: {path}", "see docs/android.md for where to get it")
    return given


def _chosen(serial: str | None, known: tuple[Listed, ...]) -> Listed:
    """Raises DeviceFault where there is no such device, where it cannot be used, and where it is not clear which is meant."""
    usable = [found for found in known if found.state == "device"]
    if serial is None and len(usable) == 1:
        return usable[0]
    if serial is None and usable:
        names = ", ".join(f"adb:{found.serial}" for found in usable)
        raise DeviceFault(f"several devices are connected: {names}", "say which: --device adb:SERIAL")
    meant = [found for found in known if serial is None or found.serial == serial]
    if not meant:
        names = ", ".join(found.serial for found in known) or "none"
        hint = "plug it in and allow USB debugging on it; see docs/android.md"
        raise DeviceFault(f"no device {serial or 'is connected to adb'}; adb lists: {names}", hint)
    if meant[0].state == "device":
        return meant[0]
    why = facts(meant[0])
    raise DeviceFault(f"{meant[0].serial} cannot be used: {why.reason}", why.hint)


class AdbDevice:
    """A connected Android device. Its files are in a folder of this run, and a lock keeps other runs away."""

    limit = LIMIT

    def __init__(self, adb: Adb, folder: Folder, known: DeviceFacts, given: dict[str, Path], root: bool) -> None:
        self._adb, self._folder, self._root, self._began = adb, folder, root, time.monotonic()
        self._runner, self._load = Runner(adb, folder.path), None
        self._tools: dict[str, Tool] = {}
        self._contents: dict[str, Contents] = {}
        versions = {name: self._install(name, program) for name, program in given.items()}
        self.facts = dataclasses.replace(known, runtimes=versions)

    _load: android_conditions.Load | None

    def _install(self, name: str, program: Path) -> str:
        """Send a program, and ask which options it has. Gives its version, or the beginning of its hash where it tells none."""
        room = executor_runner if name == "executor_runner" else benchmark_model
        digest = files_here.sha256(program)
        self._folder.put(program, name, digest)
        ran = self._runner.run([name, *room.USAGE], (), 60.0)
        if ran.said.code >= 126:
            require_done(ran, name, first_line(ran.said.all) or "nothing")
        log = "" if room is benchmark_model else self._runner.log(executor_runner.TAG, ran.pid)
        self._tools[name] = Tool(name, room.options(f"{ran.said.all}\n{log}"))
        found = re.search(r"(?i)\b(?:version|litert|executorch)[ :=v]{1,3}(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)", ran.said.all)
        return found[1] if found else f"sha256 {digest[:12]}"

    def units(self, model: Model) -> tuple[Unit, ...]:
        """What the program offers (LiteRT), or what the file was lowered for (ExecuTorch); none for a file that it cannot run."""
        if model.runtime == "litert":
            return benchmark_model.units(self._tool(model).has)
        if model.runtime == "executorch":
            self._tool(model)
            return executor_runner.units(self._inside(model))
        return ()

    def _tool(self, model: Model) -> Tool:
        rooms = {"litert": ("benchmark_model", benchmark_model.PAGE), "executorch": ("executor_runner", executor_runner.PAGE)}
        if model.runtime not in rooms:
            raise DeviceFault(f"nothing on Android runs {model.artifact}: it is for {model.runtime}")
        name, page = rooms[model.runtime]
        if name not in self._tools:
            raise DeviceFault(f"{model.artifact} needs {name} for the device", f"--{name.replace('_', '-')} PATH; get it: {page}")
        return self._tools[name]

    def _inside(self, model: Model) -> Contents:
        if model.sha256 not in self._contents:
            self._contents[model.sha256] = files.read(model.file)
        return self._contents[model.sha256]

    def _name(self, model: Model) -> str:
        """On the device: never the user's."""
        return f"{model.sha256[:32]}{'.tflite' if model.runtime == 'litert' else '.pte'}"

    def send(self, model: Model, progress: Callable[[str, float, float | None], None]) -> None:
        self._require(model, None)
        size = float(model.file.stat().st_size)
        progress("copying to the device", 0.0, size)
        self._folder.put(model.file, self._name(model), model.sha256)
        progress("copying to the device", size, size)

    def _require(self, model: Model, unit: Unit | None) -> Tool:
        offered = self.units(model)
        tool = self._tool(model)
        if not offered or (unit is not None and unit not in offered):
            names = ", ".join(offered) or "nothing"
            raise DeviceFault(f"{model.artifact} cannot run on {unit or 'Android'} there; it can on: {names}")
        return tool

    def launch(self, model: Model, asked: Asked) -> Launch:
        """One run of the program. Where the shell is root's, one before it loads the file from outside of the page cache."""
        tool = self._require(model, asked.unit)
        self.send(model, lambda label, done, total: None)
        cold = self._measured(model, tool, dataclasses.replace(asked, runs=1, warmup=0))[0] if self._dropped() else None
        before = self._conditions(0.0)
        found, ran = self._measured(model, tool, asked)
        after = self._conditions(ran.own)
        return dataclasses.replace(
            found, cold_ms=cold.warm_ms if cold else None, dropped=cold is not None, before=before, after=after
        )

    def _dropped(self) -> bool:
        """Whether the page cache could be emptied: by root alone."""
        return self._root and self._adb.steady(lambda: self._adb.shell(DROP)).code == 0

    def _measured(self, model: Model, tool: Tool, asked: Asked) -> tuple[Launch, Ran]:
        name = self._name(model)
        if model.runtime == "litert":
            arguments = benchmark_model.measuring(tool.has, name, asked, self.limit / 2)
            ran = self._runner.run([tool.name, *arguments], asked.affinity, self.limit)
            require_done(ran, tool.name, benchmark_model.complaint(ran.said.all))
            return benchmark_model.launch(ran.said.all, asked), ran
        ran = self._runner.run([tool.name, *executor_runner.measuring(tool.has, name, asked)], asked.affinity, self.limit)
        log = f"{ran.said.all}\n{self._runner.log(executor_runner.TAG, ran.pid)}"
        require_done(ran, tool.name, executor_runner.complaint(log))
        return executor_runner.launch(log, asked, self._inside(model)), ran

    def _conditions(self, own: float | None) -> Conditions:
        said = self._adb.steady(lambda: self._adb.shell(android_conditions.COMMAND))
        now, before = android_conditions.reading(said.out), self._load
        self._load = now.load
        return android_conditions.conditions(now, time.monotonic() - self._began, before, own)

    def sustain(self, model: Model, asked: Asked, seconds: float, progress: Callable[[Moment], None]) -> tuple[Moment, ...]:
        """Launch behind launch until the time is over; only the first one warms up."""
        end, moments = time.monotonic() + seconds, list[Moment]()
        while not moments or time.monotonic() < end:
            found = self.launch(model, dataclasses.replace(asked, warmup=0) if moments else asked)
            assert found.centre_ms is not None and found.after
            moments.append(Moment(found.runs, found.centre_ms, found.after))
            progress(moments[-1])
        return tuple(moments)

    def answers(self, model: Model, asked: Asked, pixels: np.ndarray) -> np.ndarray:
        """A process for each image: neither program takes several. Raises DeviceFault where it takes no images."""
        tool = self._require(model, asked.unit)
        if model.runtime == "litert":
            tool = self._tools.get("answering", tool)
        self.send(model, lambda label, done, total: None)
        contents = self._inside(model)
        if len(contents.inputs) != 1 or not contents.outputs:
            raise DeviceFault(f"{model.artifact} takes {len(contents.inputs)} inputs; one image is what can be given")
        port, out = contents.inputs[0], contents.outputs[0]
        found = []
        with tempfile.TemporaryDirectory() as here:
            for start in range(0, len(pixels), BATCH):
                held = raw_images.entering(port, pixels[start : start + BATCH], model.preprocess)
                arguments = self._answering(model, tool, asked, held.shape[1:])
                content = answered(self._folder, self._runner, Path(here), held, arguments, asked.affinity, self.limit)
                found.append(raw_images.leaving(out, content, len(held)))
        return np.concatenate(found) if found else np.zeros((0, 0), np.float32)

    def _answering(self, model: Model, tool: Tool, asked: Asked, shape: tuple[int, ...]) -> list[str]:
        from targets.devices.android.answers import IMAGE, ONE

        if model.runtime == "litert":
            return [tool.name, *benchmark_model.answering(tool.has, self._name(model), asked, IMAGE, (1, *shape), ONE)]
        return [tool.name, *executor_runner.answering(tool.has, self._name(model), asked, IMAGE, ONE)]

    def close(self, keep: bool = False) -> None:
        self._folder.leave(keep)
