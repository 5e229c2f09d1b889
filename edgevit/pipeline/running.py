"""The whole road from a file: checkpoint, artifacts, devices, report; and of all that only what has changed."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import targets
from edgevit import cache as caches
from edgevit import folder, record
from edgevit.cache import Entry
from edgevit.errors import BadInput
from edgevit.pipeline import beginning, limits, made, measured, road
from edgevit.pipeline.how import How, now
from edgevit.pipeline.measure import report
from edgevit.types import Artifact, Bench, Checkpoint, Held, Progress, Reused, Road, RunRecord
from edgevit.versions import machine, sources, versions

RECORD = "run.json"
ARTIFACTS = "artifacts"
LOCK = ".edgevit.lock"


def run(asked: Road, out: Path, how: How) -> RunRecord:
    """Go the road `asked`, into the folder `out`: a new folder there, numbered, holds the record and the report.

    Checkpoints that are made, and the artifacts, lie in `out` and are shared by all runs of it. Only one run at a time is at work
    there. Raises what the checkpoint's making raises, and BadInput; an artifact or a device that fails stops nothing else.
    """
    began = time.monotonic()
    with _alone(out, how.progress):
        source, when = beginning.checkpoint(asked, out, how.cache, how.progress)
        road.require_names(asked, source.config)
        artifacts, again = made.artifacts(asked, source, out / ARTIFACTS, how)
        reused = [*([Reused("checkpoint", when)] if when else []), *again]
        benches = []
        for device in asked.devices:
            bench, again = measured.measured(artifacts, device, source.folder, how.cache, how.force_bench, how.progress)
            benches.append(bench)
            reused += again
        held = limits.held(asked, artifacts, benches)
        shown = tuple(limits.viewed(artifact, held) for artifact in artifacts)
        path = _next(out)
        with folder.written_whole(path, RECORD) as into:
            reused += _report(asked, shown, benches, held, into, how)
            record.write(into / RECORD, _record(asked, source, shown, benches, held, reused, how, began))
    return read(path)


def read(path: Path) -> RunRecord:
    """The record of the run in the folder, or file, `path`. Raises BadInput, DamagedFile."""
    file = path / RECORD if path.is_dir() else path
    if not file.is_file():
        raise BadInput(f"no run in {path}", f"expected {RECORD}, as edgevit run makes it")
    return record.read(file, RunRecord)


def _next(out: Path) -> Path:
    numbers = [int(path.name) for path in out.iterdir() if re.fullmatch("[0-9]{1,9}", path.name)]
    return out / f"{max(numbers, default=0) + 1:03d}"


def _report(
    asked: Road, shown: tuple[Artifact, ...], benches: list[Bench], held: tuple[Held, ...], into: Path, how: How
) -> list[Reused]:
    """The report of what has a file, as it was written before where nothing in it has changed."""
    if not any(artifact.file for artifact in shown):
        how.say("no artifact was made, so there is no report; the reasons stand beside each")
        return []
    here = {"sources": sources(), "versions": versions("torch", "matplotlib", "jinja2"), "machine": machine()}
    told = [dataclasses.replace(bench, seconds=0.0) for bench in benches]  # none for what is known, and the report shows neither
    said = {"made": shown, "benches": told, "held": held, "title": asked.title, "by": how.command}
    key = caches.key({"stage": "report", **said, **here})
    if how.cache and (entry := how.cache.take(key, into)):
        return [Reused("report", str(entry.value))]
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        report(list(shown), benches, Path(scratch), asked.title, how.command, False, how.progress, held)
        if how.cache:
            how.cache.keep(key, Entry("report", now(), 0.0, 0, folder.hashes(Path(scratch))), Path(scratch))
        for file in Path(scratch).iterdir():
            shutil.copyfile(file, into / file.name)
    return []


def _record(
    asked: Road,
    source: Checkpoint,
    shown: tuple[Artifact, ...],
    benches: list[Bench],
    held: tuple[Held, ...],
    reused: list[Reused],
    how: How,
    began: float,
) -> RunRecord:
    modules = dict.fromkeys(library.module for a in shown for library in targets.get(a.target).needs)
    return RunRecord(
        road=asked,
        checkpoint=str(source.folder),
        checkpoint_sha256=source.weights_sha256,
        artifacts=shown,
        benches=tuple(benches),
        held=held,
        reused=tuple(reused),
        made=now(),
        seconds=time.monotonic() - began,
        machine=machine(),
        versions=versions("torch", *modules),
        sources=sources(),
        command=how.command,
    )


@contextlib.contextmanager
def _alone(out: Path, progress: Progress) -> Iterator[None]:
    """Wait until no other run is at work in `out`. The lock goes with the process, however that ends."""
    if not out.is_dir():
        folder.refuse_existing(out, LOCK, force=False)
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another run in {out}", 0, None)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
