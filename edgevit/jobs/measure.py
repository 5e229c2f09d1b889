"""Latency on this machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit.errors import NoRuntime
from edgevit.jobs.answers import FromPixels, load
from edgevit.types import Artifact, Latency, Profile, Progress, Runner
from edgevit.versions import machine


@dataclass(frozen=True)
class Ready:
    """A runner that has answered once, and the image (1, 3, H, W) that it is timed on, or pixels (1, H, W, 3)."""

    runner: Runner
    image: np.ndarray


def bench(folders: tuple[Path, ...], runs: int, warmup: int, threads: int, progress: Progress) -> list[Latency]:
    """Latency of the artifacts on this machine, interleaved; those that cannot run here say why."""
    from edgevit.bench.latency import interleaved

    ready: dict[str, Ready] = {}
    absent: dict[str, Latency] = {}
    for folder in folders:
        progress(f"loading {folder}", 0, None)
        artifact, name = artifacts.read(folder), str(folder)
        if reason := _not_here(artifact):
            absent[name] = Latency(name, "none", reason=reason)
            continue
        try:
            ready[name] = _ready(artifact, threads)
        except NoRuntime as error:
            absent[name] = Latency(name, "none", reason=error.message)
        except Exception as error:  # of a runtime, which may raise anything
            absent[name] = Latency(name, "none", reason=_words(error), failed=True)
    calls = {name: lambda one=one: one.runner(one.image) for name, one in ready.items()}
    times, broken = interleaved(calls, runs, warmup, progress)
    absent |= {name: Latency(name, "none", reason=_words(error), failed=True) for name, error in broken.items()}
    return [absent.get(name) or _latency(name, ready[name].runner, times[name], warmup) for name in map(str, folders)]


def profile(folder: Path, etdump: Path | None, runs: int, progress: Progress) -> Profile:
    """Where the time of an ExecuTorch program goes: of `runs` runs here, or as the file `etdump` of a device says."""
    from targets import etdump as dumps

    if etdump:
        progress("reading the ETDump", 0, None)
        return dumps.read(etdump)
    artifact = artifacts.verify(artifacts.read(folder))
    assert artifact.config
    image = artifacts.read_golden(folder, artifact.config).images[:1]
    progress("running", 0, None)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        dumps.record(artifacts.model_file(artifact), image, runs, Path(scratch) / "run.etdp")
        return dumps.read(Path(scratch) / "run.etdp")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _not_here(artifact: Artifact) -> str:
    """Why an artifact cannot run on this machine; empty where it can."""
    import targets

    target = targets.get(artifact.target)
    return target.not_here or ", ".join(f"{library.module} is not installed" for library in targets.missing(target))


def _ready(artifact: Artifact, threads: int) -> Ready:
    artifacts.verify(artifact)
    assert artifact.config
    runner, image = load(artifact, threads), artifacts.read_golden(artifact.folder, artifact.config).images[:1]
    found = Ready(runner.runner, runner.pixels(image)) if isinstance(runner, FromPixels) else Ready(runner, image)
    found.runner(found.image)
    return found


def _latency(name: str, runner: Runner, times: list[float], warmup: int) -> Latency:
    from edgevit.bench.latency import percentile

    p50, p90, p99 = (percentile(times, f) for f in (0.5, 0.9, 0.99))
    return Latency(name, runner.where, p50, p90, p99, len(times), warmup, runner.threads, machine())
