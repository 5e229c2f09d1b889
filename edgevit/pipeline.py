"""The stages in order, each in a child process; an error becomes an Outcome that names its stage."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import quantize
import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import folder, record, stage
from edgevit.errors import BadInput, EdgevitError, LoadFailed, NotInstalled, QuantizeFailed
from edgevit.training import run_settings
from edgevit.types import (
    Artifact,
    Checkpoint,
    CheckResult,
    DataChoice,
    Delegation,
    EvalResult,
    Exported,
    Latency,
    Outcome,
    Prediction,
    Progress,
    Report,
    Target,
    TrainConfig,
)
from edgevit.versions import versions

LATENCY_RUNS, LATENCY_WARMUP = 100, 10


@dataclass(frozen=True)
class Pair:
    """One artifact to make."""

    target: str
    recipe: str

    @property
    def name(self) -> str:
        return f"{self.target}-{self.recipe}"


def train(settings: TrainConfig, out: Path, force: bool, progress: Progress) -> Checkpoint:
    """Train into `out` and return the best checkpoint. An older run at `out` stays whole until the new one is."""
    run = run_settings.place(out, force)
    return _fit(settings, run, out, False, progress)


def resume(given: Mapping[str, object], out: Path, progress: Progress) -> Checkpoint:
    """Go on with the interrupted run at `out`. Raises BadInput where a setting is `given` that is not the run's."""
    run, settings = run_settings.unfinished(out)
    for name, value in given.items():
        if value != getattr(settings, name) and str(Path(str(value)).resolve()) != getattr(settings, name):
            was = getattr(settings, name)
            raise BadInput(f"the run at {out} has {name} {was}, not {value}", "--resume takes the settings of the run")
    return _fit(settings, run, out, True, progress)


def _fit(settings: TrainConfig, run: Path, out: Path, again: bool, progress: Progress) -> Checkpoint:
    stage.run("edgevit.training.fit:fit", Checkpoint, progress, train=settings, run=run, resume=again)
    if run != out:
        folder.put_in_place(run, out.resolve())
    return checkpoints.read(out)


def evaluate(checkpoint: Path, data: DataChoice, progress: Progress) -> EvalResult:
    checkpoint = checkpoints.find(checkpoint)
    return stage.run("edgevit.jobs:evaluate", EvalResult, progress, checkpoint=checkpoint, data=data).value


def choose_data(checkpoint: Checkpoint, spec: str | None, split: str, on_bad: str) -> DataChoice:
    """The images that were named, or those that the checkpoint was trained from."""
    return DataChoice(spec or checkpoint.train.data, split, on_bad)


def pairs(target_names: list[str], recipe_names: list[str]) -> list[Pair]:
    """What to make of the names, `all` among them, before any work. Raises UnknownName, and BadInput for what cannot be held."""
    asked = [targets.get(n) for n in target_names if n != "all"]
    recipes = [quantize.get(n).name for n in recipe_names if n != "all"]
    for target in asked:
        for recipe in recipes:
            targets.require_recipe(target, recipe)
    chosen = list(targets.all_targets()) if "all" in target_names else asked
    names = list(quantize.RECIPES) if "all" in recipe_names else recipes
    found = [Pair(t.name, r) for t in chosen for r in names if r in t.recipes]
    if not found:
        raise BadInput(f"no target holds {', '.join(names)}", "edgevit targets shows what each holds")
    return list(dict.fromkeys(found))


def export(
    checkpoint: Path, wanted: list[Pair], data: DataChoice, out: Path, force: bool, progress: Progress
) -> Iterator[Artifact]:
    """Make and check each artifact at `out`/TARGET-RECIPE, and yield it as it is done. One that fails stops no other."""
    source = checkpoints.read(checkpoint)
    for pair in wanted:
        folder.refuse_existing(out / pair.name, artifacts.RECORD, force)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        references = Path(scratch)
        able = [pair for pair in wanted if not targets.missing(targets.get(pair.target))]
        if able:
            stage.run("edgevit.jobs:reference", int, progress, checkpoint=source.folder, data=data, into=references)
        for pair in wanted:
            yield _export_one(source, pair, data, out, force, references, progress)


def _export_one(
    source: Checkpoint, pair: Pair, data: DataChoice, out: Path, force: bool, references: Path, progress: Progress
) -> Artifact:
    blank = Artifact(pair.target, pair.recipe, Outcome.PASS, config=source.config, preprocess=source.preprocess)
    log = out / f".{pair.name}.log"  # hidden, so that OUT/* is artifacts alone
    try:
        targets.require(targets.get(pair.target))
        with folder.written_whole(out / pair.name, artifacts.RECORD, force) as partial:
            made = _make(source, blank, data, partial, references, progress)
            record.write(partial / artifacts.RECORD, made)
        log.unlink(missing_ok=True)
        return dataclasses.replace(made, folder=out / pair.name)
    except BadInput:
        raise
    except NotInstalled as error:
        return dataclasses.replace(blank, outcome=Outcome.SKIPPED, reason=f"{error.message}; {error.hint}")
    except _Stopped as stopped:
        out.mkdir(parents=True, exist_ok=True)
        log.write_text(stopped.error.log)
        reason = f"{stopped.error.message} (log: {log})"
        return dataclasses.replace(blank, outcome=stopped.outcome, reason=reason)


class _Stopped(Exception):
    """The stage that stopped an export, as an Outcome, and what it said."""

    def __init__(self, outcome: Outcome, error: EdgevitError) -> None:
        self.outcome, self.error = outcome, error


@contextlib.contextmanager
def _outcome(otherwise: Outcome) -> Iterator[None]:
    """Turn what a stage raises into _Stopped; what the user can mend stays as it is."""
    try:
        yield
    except BadInput:
        raise
    except QuantizeFailed as error:
        raise _Stopped(Outcome.QUANTIZE_FAILED, error) from error
    except LoadFailed as error:
        raise _Stopped(Outcome.LOAD_FAILED, error) from error
    except EdgevitError as error:
        raise _Stopped(otherwise, error) from error


def _make(source: Checkpoint, blank: Artifact, data: DataChoice, partial: Path, references: Path, progress: Progress) -> Artifact:
    """Convert into `partial`, check what came out, and return the whole record of it."""
    target = targets.get(blank.target)
    where = {"checkpoint": source.folder, "target": blank.target, "recipe": blank.recipe, "into": partial}
    with _outcome(Outcome.CONVERT_FAILED):
        done = stage.run("edgevit.jobs:convert", Exported, _named(progress, blank), **where)
    exported = done.value
    file = partial / exported.file
    artifact = dataclasses.replace(
        blank,
        file=exported.file,
        bytes=folder.size(file),
        sha256=folder.sha256(file),
        delegation=exported.delegation,
        same_integers=exported.same_integers,
        seconds=done.seconds,
        peak_bytes=done.peak_bytes,
        runtime=target.runtime,
        tolerance=target.recipes[blank.recipe],
        labels=source.labels,
        data=data.spec,
        checkpoint=os.path.relpath(source.folder.resolve(), partial.resolve()),
        checkpoint_sha256=source.weights_sha256,
        versions=versions("torch", *(library.module for library in target.needs)),
        folder=partial,
    )
    with _outcome(Outcome.RUN_FAILED):
        result = _check(artifact, references, data, source.folder, progress)
    shutil.copyfile(references / artifacts.GOLDEN, partial / artifacts.GOLDEN)
    files = folder.hashes(partial, leave_out=(artifacts.RECORD,))
    return _delegated(with_result(dataclasses.replace(artifact, files=files), result), target)


def _named(progress: Progress, artifact: Artifact) -> Progress:
    return lambda label, done, total: progress(f"{artifact.target}-{artifact.recipe}: {label}", done, total)


def _check(artifact: Artifact, references: Path, data: DataChoice, checkpoint: Path, progress: Progress) -> CheckResult:
    arguments = {"artifact": artifact, "references": references, "data": data, "checkpoint": checkpoint}
    return stage.run("edgevit.jobs:check", CheckResult, progress, **arguments).value


def with_result(artifact: Artifact, result: CheckResult) -> Artifact:
    """The record with what its check showed."""
    shared = {f.name for f in dataclasses.fields(Artifact)} & {f.name for f in dataclasses.fields(CheckResult)}
    return dataclasses.replace(artifact, **{name: getattr(result, name) for name in shared})


def _delegated(artifact: Artifact, target: Target) -> Artifact:
    """The record, as UNDELEGATED where the answers are right but the back end left too much to the portable kernels."""
    broken = too_little(artifact.delegation, target)
    if artifact.outcome is not Outcome.PASS or not broken:
        return artifact
    return dataclasses.replace(artifact, outcome=Outcome.UNDELEGATED, reason=broken)


def too_little(delegation: Delegation, target: Target) -> str:
    """What a delegation breaks of the target's limits, in words; empty where it holds or cannot be counted."""
    limits = (
        (delegation.subgraphs, target.max_subgraphs, "delegated subgraphs"),
        (delegation.outside, target.max_outside, "nodes outside the delegate"),
    )
    over = [f"{n} {what}, at most {most}" for n, most, what in limits if n is not None and most is not None and n > most]
    return "nothing was delegated" if delegation.subgraphs == 0 else "; ".join(over)


def check(path: Path, checkpoint: Path | None, data: str | None, split: str, on_bad: str, progress: Progress) -> Artifact:
    """The artifact at `path`, verified, and checked again beside its checkpoint. Nothing in it is changed."""
    artifact = artifacts.verify(artifacts.read(path))
    targets.require_recipe(targets.get(artifact.target), artifact.recipe)
    targets.require(targets.get(artifact.target))
    source = _source(artifact, checkpoint)
    chosen = DataChoice(data or artifact.data, split, on_bad)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        references = Path(scratch)
        stage.run("edgevit.jobs:reference", int, progress, checkpoint=source.folder, data=chosen, into=references)
        try:
            with _outcome(Outcome.RUN_FAILED):
                result = _check(artifact, references, chosen, source.folder, progress)
        except _Stopped as stopped:
            return dataclasses.replace(artifact, outcome=stopped.outcome, reason=stopped.error.message)
    checked = with_result(dataclasses.replace(artifact, data=chosen.spec), result)
    return _delegated(checked, targets.get(artifact.target))


def _source(artifact: Artifact, given: Path | None) -> Checkpoint:
    """The checkpoint that an artifact was made from. Raises BadInput where it is not there, or not the same any more."""
    path = given or artifact.folder / artifact.checkpoint
    try:
        source = checkpoints.read(path)
    except BadInput as error:
        raise BadInput(f"the checkpoint of {artifact.folder} is not at {path}", "--checkpoint says where it is") from error
    if source.weights_sha256 != artifact.checkpoint_sha256:
        raise BadInput(f"{path} is not the checkpoint that {artifact.folder} was made from", "export again, or give --checkpoint")
    return source


def bench(folders: list[Path], runs: int, warmup: int, threads: int | None, progress: Progress) -> list[Latency]:
    """Latency of the artifacts, interleaved. `threads` is by default the number of cores."""
    for path in folders:
        artifacts.model_file(artifacts.read(path))
    arguments = {"folders": folders, "runs": runs, "warmup": warmup, "threads": threads or os.cpu_count() or 1}
    return stage.run("edgevit.jobs:bench", list[Latency], progress, **arguments).value


def predict(model: Path, images: list[Path], top: int, progress: Progress) -> list[Prediction]:
    folder_ = model if (model / artifacts.RECORD).is_file() else checkpoints.find(model)
    arguments = {"model": folder_, "images": images, "top": top}
    return stage.run("edgevit.jobs:predict", list[Prediction], progress, **arguments).value


def report(
    made: list[Artifact], latencies: list[Latency], out: Path, title: str, command: str, force: bool, progress: Progress
) -> Report:
    """Write report.html, .md and .json into `out`. The artifacts are of one checkpoint."""
    arguments = {"made": made, "latencies": latencies, "out": out, "title": title, "command": command, "force": force}
    return stage.run("edgevit.jobs:report", Report, progress, **arguments).value


def demo(
    out: Path, epochs: int | None, force: bool, command: str, progress: Progress
) -> tuple[Checkpoint, list[Artifact], list[Latency], Report]:
    """The whole road on the built-in digits, into `out`."""
    settings = TrainConfig(data="digits", epochs=epochs)
    checkpoint = train(settings, out / "checkpoint", force, progress)
    data = choose_data(checkpoint, None, "held-out", "refuse")
    wanted = pairs(["all"], ["fp32", "int8"])
    made = list(export(checkpoint.folder, wanted, data, out / "export", force, progress))
    latencies = bench([a.folder for a in made if a.file], LATENCY_RUNS, LATENCY_WARMUP, None, progress)
    title = "edgevit demo: handwritten digits"
    return checkpoint, made, latencies, report(made, latencies, out, title, command, force, progress)


def artifact_folders(paths: list[Path]) -> list[Path]:
    """Artifacts, each named itself or by the folder that holds several. Raises BadInput where a path is neither."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p.parent for p in path.glob(f"*/{artifacts.RECORD}")) if path.is_dir() else []
        if not inside and not (path / artifacts.RECORD).is_file():
            raise BadInput(f"no artifact in {path}", f"expected a folder with {artifacts.RECORD}, as edgevit export makes it")
        found += [path] if (path / artifacts.RECORD).is_file() else inside
    return list(dict.fromkeys(found))


def read_artifact(path: Path) -> Artifact:
    """The record of a whole artifact."""
    return artifacts.verify(artifacts.read(path))
