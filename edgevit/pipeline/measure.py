"""Latency, predictions, the report, and the whole road at once."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import folder, record, stage
from edgevit.errors import BadInput
from edgevit.pipeline.benching import bench
from edgevit.pipeline.export import export
from edgevit.pipeline.look import refuse_reported
from edgevit.pipeline.pairs import pairs
from edgevit.pipeline.recheck import source_of
from edgevit.pipeline.training import choose_data, settings, train
from edgevit.types import Artifact, Bench, Benches, BenchRules, Checkpoint, Held, Prediction, Profile, Progress, Report
from targets.devices import Access


def profile(path: Path, etdump: Path | None, runs: int, keep: bool, progress: Progress) -> Profile:
    """Where the time of an artifact goes, by operator. Raises BadInput where it is not ExecuTorch's, NoRuntime, DamagedFile.

    To `keep` it is to have it as a file of the artifact, in place of an older one.
    """
    artifact = artifacts.verify(artifacts.read(path))
    if not artifact.target.startswith("executorch"):
        raise BadInput(f"{artifact.target} has no profile by operator", "ExecuTorch's event tracer is the one that is read")
    targets.require(targets.get(artifact.target))
    if etdump and not etdump.is_file():
        raise BadInput(f"no such file: {etdump}")
    arguments = {"folder": path, "etdump": etdump, "runs": runs}
    found = stage.run("edgevit.jobs.measure:profile", Profile, progress, **arguments).value
    if keep:
        _kept(artifact, found)
    return found


def _kept(artifact: Artifact, found: Profile) -> None:
    with folder.written_whole(artifact.folder, artifacts.RECORD, force=True) as partial:
        shutil.copytree(artifact.folder, partial, dirs_exist_ok=True)
        record.write(partial / artifacts.PROFILE, found)
        files = folder.hashes(partial, leave_out=(artifacts.RECORD,))
        artifacts.write(partial, dataclasses.replace(artifact, files=files))


def predict(model: Path, images: list[Path], top: int, progress: Progress) -> list[Prediction]:
    folder_ = model if (model / artifacts.RECORD).is_file() else checkpoints.find(model)
    arguments = {"model": folder_, "images": images, "top": top}
    return stage.run("edgevit.jobs.predict:predict", list[Prediction], progress, **arguments).value


def report(
    made: list[Artifact],
    benches: list[Bench],
    out: Path,
    title: str,
    command: str,
    force: bool,
    progress: Progress,
    held: tuple[Held, ...] = (),
) -> Report:
    """Write report.html, .md and .json into `out`, with the limits that were `held`.

    Raises BadInput for artifacts of two checkpoints, or without theirs.
    """
    refuse_reported(out, force)
    for artifact in (a for a in made if a.file):
        source = source_of(artifact, None)
        if source.weights_sha256 != made[0].checkpoint_sha256 and made[0].file:
            raise BadInput(f"not of one checkpoint: {made[0].folder}, {artifact.folder}", "a report is of the artifacts of one")
    arguments = {"made": made, "benches": benches, "out": out, "title": title, "command": command, "held": held}
    return stage.run("edgevit.jobs.report:report", Report, progress, **arguments).value


def read_bench(path: Path) -> list[Bench]:
    """What `edgevit bench --out` wrote. Raises BadInput, DamagedFile."""
    if not path.is_file():
        raise BadInput(f"no such file: {path}", "edgevit bench --out writes it")
    return list(record.read(path, Benches).benches)


def write_bench(path: Path, benches: list[Bench], force: bool) -> None:
    """Raises BadInput where there is a file already, unless it may be replaced."""
    refuse_bench(path, force)
    partial = path.parent / f".{path.name}.{os.getpid()}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        record.write(partial, Benches(tuple(benches)))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def refuse_bench(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise BadInput(f"it is there already: {path}", "--force replaces it")


SHOWN = ("executorch", "coreml", "tflite")
"""Targets of the demo, a few minutes in all; `export --target all` makes twice as many files."""


def demo(out: Path, epochs: int | None, force: bool, progress: Progress) -> tuple[Checkpoint, list[Artifact]]:
    """The road on the built-in digits as far as the artifacts, into `out`."""
    refuse_reported(out, force)
    asked = settings({"data": "digits", "epochs": epochs})
    checkpoint = train(asked, out / "checkpoint", force, progress)
    data = choose_data(checkpoint, None, "held-out", "refuse")
    wanted = pairs(list(SHOWN), ["fp32", "int8"])
    return checkpoint, list(export(checkpoint.folder, wanted, data, out / "export", force, progress))


def demo_bench(made: list[Artifact], progress: Progress) -> Bench:
    """What the demo made, measured on this machine, for two minutes or a little more."""
    return bench([a.folder for a in made if a.file], "local", BenchRules(seconds=120.0), None, progress, Access(wait=600.0))


def demo_report(made: list[Artifact], measured: Bench, out: Path, command: str, force: bool, progress: Progress) -> Report:
    return report(made, [measured], out, "edgevit demo: handwritten digits", command, force, progress)
