"""Checkpoint to artifacts, each checked; an error becomes an Outcome that names its stage."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import targets
from edgevit import app, folder, memory
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.cache import Cache
from edgevit.errors import BadInput, NotInstalled
from edgevit.pipeline import calibrating, describing, reuse, runtimes, side_by_side, taught
from edgevit.pipeline.applied import Applied
from edgevit.pipeline.pairs import Pair
from edgevit.pipeline.reuse import Once, Stages
from edgevit.pipeline.side_by_side import Work
from edgevit.pipeline.stopped import Stopped, outcome
from edgevit.stage import Children
from edgevit.types import (
    Artifact,
    Calibration,
    CheckResult,
    DataChoice,
    Delegation,
    Exported,
    Footprint,
    Input,
    Outcome,
    Progress,
    QuantRecipe,
    Target,
)
from edgevit.versions import machine, versions


def export(
    checkpoint: Path,
    wanted: list[Pair],
    data: DataChoice,
    out: Path,
    force: bool,
    progress: Progress,
    jobs: int | None = None,
    cache: Cache | None = None,
    calibration: Calibration | None = None,
    required: tuple[str, ...] = (),
) -> Iterator[Artifact]:
    """Make and check each artifact at `out`/TARGET-RECIPE, and yield them in the order of `wanted`.

    Each recipe of integers or palettes is applied once, for all targets; those that need it look at the images of `calibration`,
    by default some that the checkpoint was trained on. An artifact that fails stops no other. At most `jobs` are made at once, by
    default as many as cores and memory hold. What `cache` knows is not done again. What goes wrong in a `required` runtime fails
    the artifact.
    """
    source = checkpoints.read(checkpoint)
    wanted = [pair.of(source.config) for pair in wanted]
    recipes = {pair.recipe: taught.as_trained(source, pair.recipe, pair.quantization) for pair in wanted}
    calibration = calibrating.images(source, list(recipes.values()), calibration, data)
    for pair in wanted:
        folder.refuse_existing(out / pair.name, artifacts.RECORD, force)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        references = Path(scratch) / "references"
        references.mkdir()
        able = any(not targets.missing(targets.get(pair.target)) for pair in wanted)
        origin = taught.origin(source) if any(taught.learned(source, pair.recipe) for pair in wanted) else None
        stages = reuse.stages(source, data, cache, progress, calibration, origin) if able else Stages(source, data, None)
        if able and stages.reference(references, progress).reused:
            progress("answers of the checkpoint, unchanged and reused", 1, 1)
        applied = Applied(stages, recipes, Path(scratch))
        at_once = min(RUNTIMES, jobs or os.cpu_count() or 1)
        exports = Exports(stages, out, force, references, recipes, applied, required, at_once)
        yield from _side_by_side(exports, wanted, jobs, progress)


@dataclass(frozen=True)
class Exports:
    """What all artifacts of one export share.

    `converted` are the names of artifacts that are only to be checked. `at_once` runtimes may answer at a time. A conversion or a
    check computes with so many `threads`; None: with all cores.
    """

    stages: Stages
    out: Path
    force: bool
    references: Path
    recipes: dict[str, QuantRecipe]
    applied: Applied
    required: tuple[str, ...] = ()
    at_once: int = 1
    threads: int | None = None
    converted: set[str] = field(default_factory=set)


def _side_by_side(exports: Exports, wanted: list[Pair], jobs: int | None, progress: Progress) -> Iterator[Artifact]:
    weights = (exports.stages.source.folder / checkpoints.WEIGHTS).stat().st_size
    room = side_by_side.room(jobs, weights, memory.available(), os.cpu_count() or 1)
    exports = dataclasses.replace(exports, threads=room.threads([_expected(exports, pair, weights) for pair in wanted]))
    works = [
        Work(p.name, partial(_expected, exports, p, weights), partial(_export_one, exports, p), _seconds(exports, p))
        for p in wanted
    ]
    return side_by_side.in_order(works, room, progress)


def _seconds(exports: Exports, pair: Pair) -> float:
    floats, integers = targets.get(pair.target).seconds
    return integers if exports.recipes[pair.recipe].quantizes else floats


CHECKING = Footprint(300 << 20, 1.3)
"""What a check takes, and what other runtimes do."""
RUNTIMES = 2
"""Most other runtimes at once: half of them compute on one core, and the last artifact would keep the others idle."""


def _expected(exports: Exports, pair: Pair, weights: int) -> int:
    """Bytes: what the target says that a conversion takes; less once it is done."""
    target = targets.get(pair.target)
    if targets.missing(target):
        return 0
    if pair.name in exports.converted:
        return CHECKING.bytes(weights)
    return target.footprint.bytes(weights)


def _export_one(exports: Exports, pair: Pair, progress: Progress, children: Children) -> Artifact:
    out = exports.out
    blank = _blank(exports, pair)
    log = out / f".{pair.name}.log"  # hidden, so that OUT/* is artifacts alone
    try:
        targets.require(targets.get(pair.target))
        with folder.written_whole(out / pair.name, artifacts.RECORD, exports.force) as unfinished:
            quantized = exports.applied.of(pair.recipe, progress, children)
            made = _make(exports, pair, quantized, unfinished, progress, children)
            made = artifacts.write(unfinished, made)
        log.unlink(missing_ok=True)
        return dataclasses.replace(made, folder=out / pair.name)
    except BadInput:
        raise
    except NotInstalled as error:
        return dataclasses.replace(blank, outcome=Outcome.SKIPPED, reason=f"{error.message}; {error.hint}")
    except Stopped as stopped:
        out.mkdir(parents=True, exist_ok=True)
        log.write_text(stopped.error.log)
        reason = f"{stopped.error.message} (log: {log})"
        return dataclasses.replace(blank, outcome=stopped.outcome, reason=reason)


def _blank(exports: Exports, pair: Pair) -> Artifact:
    source, recipe = exports.stages.source, exports.recipes[pair.recipe]
    config = dataclasses.replace(source.config, merges=pair.merges or ())
    calibration = exports.stages.calibration
    seen = calibrating.words(calibration) if recipe.calibrates and calibration else ""
    origin = exports.stages.origin if taught.learned(source, pair.recipe) else None
    return Artifact(
        pair.target,
        recipe.name,
        Outcome.PASS,
        quantization=recipe,
        calibration=seen,
        input=pair.input,
        labels=source.labels,
        config=config,
        preprocess=source.preprocess,
        origin=relative(origin.folder, exports.out / pair.name) if origin else "",
        origin_sha256=origin.weights_sha256 if origin else "",
    )


def relative(folder: Path, artifact: Path) -> str:
    """The path from an artifact to a checkpoint, so that both may be moved together."""
    return os.path.relpath(folder.resolve(), artifact.resolve())


def _make(exports: Exports, pair: Pair, quantized: Path | None, into: Path, progress: Progress, children: Children) -> Artifact:
    """Convert into the empty folder `into`, check what came out, and return the whole record of it."""
    blank = _blank(exports, pair)
    target, stages, references = targets.get(blank.target), exports.stages, exports.references
    with outcome(Outcome.CONVERT_FAILED):
        done = stages.convert(blank, quantized, references, into, progress, children, exports.threads)
        notes = describing.describe(dataclasses.replace(blank, file=done.value.file), target, into, progress, children)
    if quantized:
        shutil.copyfile(quantized, into / artifacts.QUANTIZED)
    exports.converted.add(pair.name)
    artifact = dataclasses.replace(_converted(blank, done, stages, target, into), notes=notes)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        with outcome(Outcome.RUN_FAILED):
            checked = stages.check(artifact, references, Path(scratch), progress, children, exports.threads)
        shutil.copyfile(Path(scratch) / artifacts.GOLDEN, into / artifacts.GOLDEN)
    ran = runtimes.golden(artifact, exports.required, stages, into, progress, children, exports.at_once)
    app.write(artifact, target.apps, into / app.FOLDER)
    files = folder.hashes(into, leave_out=(artifacts.RECORD,))
    reused = tuple(name for name, stage in (("convert", done), ("check", checked)) if stage.reused)
    artifact = dataclasses.replace(artifact, files=files, reused=reused)
    artifact = dataclasses.replace(artifact, identity=artifacts.identity(artifact, bool(target.varies)))
    artifact = delegated(with_result(artifact, checked.value), target)
    return runtimes.with_runtimes(artifact, ran)


def _converted(blank: Artifact, done: Once[Exported], stages: Stages, target: Target, into: Path) -> Artifact:
    """The record of a file that nobody has run yet."""
    assert blank.quantization
    file = into / done.value.file
    return dataclasses.replace(
        blank,
        file=done.value.file,
        bytes=folder.size(file),
        sha256=folder.sha256(file),
        delegation=done.value.delegation,
        rewrites=done.value.rewrites,
        islands=done.value.islands,
        seconds=done.seconds,
        peak_bytes=done.peak_bytes,
        runtime=target.runtime,
        machine=machine(),
        tolerance=targets.tolerance(target, blank.quantization, blank.merges != stages.source.config.merges),
        data=stages.data.spec,
        data_sha256=stages.images,
        calibration_sha256=stages.seen if blank.calibration else "",
        checkpoint=relative(stages.source.folder, into),
        checkpoint_sha256=stages.source.weights_sha256,
        versions=used(target),
        folder=into,
    )


def used(target: Target) -> dict[str, str]:
    """The versions that a figure of this target depends on."""
    return versions("torch", *(library.module for library in target.needs))


def with_result(artifact: Artifact, result: CheckResult) -> Artifact:
    """The record with what its check showed."""
    shared = {f.name for f in dataclasses.fields(Artifact)} & {f.name for f in dataclasses.fields(CheckResult)}
    return dataclasses.replace(artifact, **{name: getattr(result, name) for name in shared})


def delegated(artifact: Artifact, target: Target) -> Artifact:
    """The record with what the back end left outside, where that is too much: UNDELEGATED if nothing else is known as wrong."""
    broken = too_little(artifact.delegation, target, artifact.input is Input.PIXELS)
    if not broken:
        return artifact
    outcome = Outcome.UNDELEGATED if artifact.outcome in (Outcome.PASS, Outcome.UNCHECKED) else artifact.outcome
    return dataclasses.replace(artifact, outcome=outcome, reason="; ".join(filter(None, [artifact.reason, broken])))


def too_little(delegation: Delegation, target: Target, pixels: bool = False) -> str:
    """What a delegation breaks of the target's limits, in words; empty where it holds or cannot be counted."""
    more = (target.pixels_outside or 0) if pixels else 0
    outside = None if target.max_outside is None else target.max_outside + more
    limits = (
        (delegation.subgraphs, target.max_subgraphs, "delegated subgraphs"),
        (delegation.outside, outside, "nodes outside the delegate"),
    )
    over = [f"{n} {what}, at most {most}" for n, most, what in limits if n is not None and most is not None and n > most]
    if delegation.subgraphs == 0:
        return "nothing was delegated"
    return ": ".join(filter(None, ["; ".join(over), delegation.reason])) if over else ""
