"""Where an exported file parts from the model that it was written from: tensors behind each stage, operators within one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgevit import artifact as artifacts
from edgevit.checks import bisect as checks
from edgevit.checks.accuracy import relative_error
from edgevit.checks.bisect import BEYOND, Fit, Sums
from edgevit.errors import NoRuntime
from edgevit.jobs.answers import load
from edgevit.jobs.export import PROVING, as_converted
from edgevit.pictures import bisect as drawings
from edgevit.pictures.paper import LIGHT
from edgevit.types import Artifact, Bisected, Computed, PartedOperator, Progress, Sided, StageError, Trace

if TYPE_CHECKING:
    from converters.rewrite.stages import Stages
    from edgevit.vit.model import ViT

MOST = 16
"""Golden images that are looked at."""


@dataclass(frozen=True)
class Behind:
    """One image behind one stage: the file's tensor, what the twin's stage makes of the file's own tensor before, and what the

    twin alone gives. The first is None where the file shows none.
    """

    shown: np.ndarray | None
    due: np.ndarray
    alone: np.ndarray


@dataclass(frozen=True)
class Pair:
    """A file that shows its values, its twin in torch, and where the tensor behind each stage of the twin is in the file."""

    trace: Trace
    twin: Stages
    places: list[Fit | None]

    def behind(self, image: np.ndarray) -> Iterator[Behind]:
        """Every stage for one image."""
        values = self.trace(image, {found.place for found in self.places if found})
        own = alone = self.twin.start(image)
        for number, found in enumerate(self.places):
            own, alone = self.twin.step(number, own), self.twin.step(number, alone)
            due = self.twin.value(own)
            shown = found.turned(values[found.place], due.shape) if found else None
            yield Behind(shown, due, self.twin.value(alone))
            own = own if shown is None else self.twin.instead(own, shown)

    def within(self, number: int, image: np.ndarray) -> list[np.ndarray]:
        """All that the twin computes in stage `number`, of the file's own tensor before it."""
        state = self.twin.start(image)
        for before, behind in zip(range(number), self.behind(image), strict=False):
            state = self.twin.step(before, state)
            state = state if behind.shown is None else self.twin.instead(state, behind.shown)
        return self.twin.inside(number, state)

    def operators(self, number: int) -> list[Computed]:
        """Those of the file between the last tensor that is shown before stage `number` and the one behind it."""
        order = [one.place for one in self.trace.computed]
        before = [order.index(found.place) for found in self.places[:number] if found]
        end = self.places[number]
        assert end
        return list(self.trace.computed[max(before, default=-1) + 1 : order.index(end.place) + 1])


def beside_twin(artifact: Artifact, checkpoint: Path, golden: Path, into: Path, progress: Progress) -> Sided:
    """How the artifact differs stage by stage from its twin, on the golden images of the artifact in the folder `golden`.

    A stage alone may add the artifact's relative error of the logits divided by the root of the number of stages: so much each
    could add, were they all alike and independent, before the logits are off by the whole. The stream of each image, as any
    target has it, is written `into` for another artifact to be compared with. Raises NoRuntime where nothing here shows it.
    """
    import safetensors.numpy

    assert artifact.config
    images = artifacts.read_golden(golden, artifact.config).images[:MOST]
    progress("re-authoring", 0, None)
    model = as_converted(checkpoint, artifact)
    runner = load(artifact)
    answered = np.concatenate([runner(images[i : i + 1]) for i in range(len(images))])
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        pair = _opened(artifact, model, images, Path(scratch), progress)
        found = _measured(pair, images, answered, progress)
        safetensors.numpy.save_file(found.streams, into)
        return _told(artifact, pair, images, answered, found)


def _opened(artifact: Artifact, model: ViT, images: np.ndarray, scratch: Path, progress: Progress) -> Pair:
    import torch

    import converters
    import targets
    from converters.order import Order

    converter, proving = targets.get(artifact.target).converter, torch.from_numpy(images[:PROVING])
    twin = converters.stages(converter, model, proving)
    trace = targets.trace(artifact.target, artifacts.model_file(artifact))
    if trace is None:
        assert artifact.quantization and artifact.preprocess
        file = converters.show(converter, Order(model, artifact.quantization, proving, artifact.preprocess), scratch, progress)
        if file is None:
            raise NoRuntime(f"nothing here shows the values within a file of {artifact.target}")
        trace = targets.outputs(artifact.target, file)
    progress("finding the stages in the file", 0, None)
    shown = trace(images[:1], {one.place for one in trace.computed})
    values = {one.place: shown[one.place] for one in trace.computed}
    return Pair(trace, twin, checks.located(twin, images[:1], values, trace.logits))


@dataclass(frozen=True)
class Measured:
    """The errors of each stage, on which image it adds most, the file's logits as they were traced, and its streams by stage."""

    stages: tuple[StageError, ...]
    worst: list[int]
    logits: np.ndarray
    streams: dict[str, np.ndarray]


def _measured(pair: Pair, images: np.ndarray, answered: np.ndarray, progress: Progress) -> Measured:
    """Over all images. The logits are beside the twin's as the file `answered` in its runtime."""
    names = pair.twin.names
    own, whole = [Sums() for _ in names], [Sums() for _ in names]
    errors: list[list[float]] = [[] for _ in names]
    streams: dict[str, list[np.ndarray]] = {}
    for done in range(len(images)):
        for number, behind in enumerate(pair.behind(images[done : done + 1])):
            if behind.shown is None:
                continue
            last = number + 1 == len(names)
            errors[number].append(own[number].add(behind.shown, behind.due))
            whole[number].add(answered[done : done + 1] if last else behind.shown, behind.alone)
            stream = pair.twin.tokens(number, behind.shown)
            if stream is not None:
                streams.setdefault(names[number], []).append(stream)
        progress("running", done + 1, len(images))
    stages = (
        StageError(name, o.error, w.error) if each else StageError(name, None, None)
        for name, o, w, each in zip(names, own, whole, errors, strict=True)
    )
    kept = {name: np.stack(each) for name, each in streams.items()}
    worst = [int(np.argmax(each)) if each else 0 for each in errors]
    return Measured(tuple(stages), worst, kept[names[-1]][:, 0], kept)


def _told(artifact: Artifact, pair: Pair, images: np.ndarray, answered: np.ndarray, found: Measured) -> Sided:
    assert artifact.tolerance
    limit, names = artifact.tolerance.relative_error, pair.twin.names
    own_limit = limit / len(names) ** 0.5
    guilty = next((n for n, stage in enumerate(found.stages) if stage.own is not None and not stage.own <= own_limit), None)
    operator, notes = None, _doubts(answered, found, own_limit)
    if guilty is not None and not pair.trace.blind:
        operator = _operator(pair, guilty, images[found.worst[guilty] :][:1], own_limit)
        notes += ["no operator of the stage is far from all that its twin computes"] * (operator is None)
    elif pair.trace.blind:
        notes.append(pair.trace.blind)
    notes += [f"not shown by the file: {stage.name}" for stage in found.stages if stage.own is None]
    return Sided(
        str(artifact.folder), artifact.name, pair.trace.words, len(images), limit, own_limit, found.stages, operator, tuple(notes)
    )


def _doubts(answered: np.ndarray, found: Measured, limit: float) -> list[str]:
    """Whether what was looked at is what runs: its logits are the same bit for bit, or how far they are."""
    if np.array_equal(found.logits, answered):
        return ["what was looked at gives the logits of the file as it runs, bit for bit"]
    far = relative_error(found.logits, answered)
    if far <= limit:
        return [f"what was looked at gives the logits of the file as it runs but for a relative error of {far:.1e}"]
    return [f"what was looked at gives other logits than the file as it runs, and so says little of it: error {far:.1e}"]


def _operator(pair: Pair, number: int, image: np.ndarray, limit: float) -> PartedOperator | None:
    computed, end = pair.operators(number), pair.places[number]
    assert end
    values = pair.trace(image, {one.place for one in computed})
    found = checks.culprit(computed, values, pair.within(number, image), end.place, limit)
    return PartedOperator(found[0].name, found[0].kind, found[0].shape, found[1]) if found else None


def apart(first: Path, second: Path, names: list[str], progress: Progress) -> list[float | None]:
    """How far the streams of one artifact are from another's, behind the stages of these names; None where one shows none.

    A model whose last block carries on fewer tokens is compared in those.
    """
    import safetensors.numpy

    one, other = safetensors.numpy.load_file(first), safetensors.numpy.load_file(second)
    found: list[float | None] = []
    for name in names:
        if name not in one or name not in other:
            found.append(None)
            continue
        few = min(one[name].shape[1], other[name].shape[1])
        found.append(min(relative_error(one[name][:, :few], other[name][:, :few]), BEYOND))
    return found


def draw(found: Bisected, file: Path, progress: Progress) -> str:
    """Write the picture of the errors to `file`; in words what one sees."""
    drawing = drawings.errors(found)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(drawing.png(LIGHT))
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
    return drawing.words
