"""Artifacts on a device: how long they take there, and whether they still answer right."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.bench import protocol
from edgevit.bench.protocol import Run
from edgevit.checks.accuracy import compare, relative_error
from edgevit.data.loading import Loader
from edgevit.data.preprocess import denormalise
from edgevit.errors import DeviceFault, EdgevitError
from edgevit.jobs.answers import LEAST, given, loader, outputs
from edgevit.jobs.reference import ORIGIN, REFERENCE
from edgevit.types import (
    Artifact,
    Asked,
    Bench,
    BenchRules,
    CheckResult,
    DataChoice,
    Device,
    Input,
    Latency,
    Model,
    Moment,
    Outcome,
    Progress,
)
from edgevit.versions import machine
from targets.devices import Access, connect

RUNTIMES = {".tflite": "litert", ".pte": "executorch", ".mlpackage": "coreml"}


@dataclass(frozen=True)
class Subject:
    """An artifact to measure. `references` holds the checkpoint's answers on `data`; `unanswered` says why there are none."""

    folder: Path
    checkpoint: Path | None = None
    data: DataChoice | None = None
    references: Path | None = None
    unanswered: str = ""


def bench(subjects: tuple[Subject, ...], device: str, rules: BenchRules, access: Access, progress: Progress) -> Bench:
    """All of them on the device. Raises BadInput, DeviceFault where it cannot be used at all."""
    started = time.monotonic()
    read = {str(subject.folder): artifacts.verify(artifacts.read(subject.folder)) for subject in subjects}
    absent = {name: why for name, artifact in read.items() if (why := _not_here(artifact, device))}
    progress(f"connecting to {device}", 0, None)
    there = connect(device, access)
    try:
        left = {name: artifact for name, artifact in read.items() if name not in absent}
        absent |= {name: why for name, artifact in left.items() if (why := _not_there(artifact, there))}
        models = [_model(name, artifact) for name, artifact in left.items() if name not in absent]
        runs = protocol.measure(there, models, rules, progress)
        asked = {str(subject.folder): subject for subject in subjects}
        found = [_finished(run, there, read[run.model.artifact], asked[run.model.artifact], rules, progress) for run in runs]
        unused = {model.artifact for model in models} - {latency.artifact for latency in found}
        absent |= dict.fromkeys(unused, _no_unit(rules))
        facts = there.facts
    finally:
        there.close(access.keep)
    found += [Latency(name, "none", device=facts.spec, reason=why) for name, why in absent.items()]
    every = tuple(one for name in read for one in found if one.artifact == name)
    return Bench(facts, rules, every, time.monotonic() - started)


def _no_unit(rules: BenchRules) -> str:
    return f"the device does not offer it on {', '.join(rules.units)}" if rules.units else "the device does not run such files"


def _not_here(artifact: Artifact, device: str) -> str:
    """Why this machine would not measure it; empty where it can, and of other devices, which say so themselves."""
    if artifact.file is None:
        return f"{artifact.outcome.value}: {artifact.reason}"
    if Path(artifact.file).suffix not in RUNTIMES:
        return f"no device runs such files: {artifact.file}"
    if device != "local":
        return ""
    if artifact.outcome is Outcome.UNCHECKED:
        return artifact.reason
    target = targets.get(artifact.target)
    return target.not_here or ", ".join(f"{library.module} is not installed" for library in targets.missing(target))


def _not_there(artifact: Artifact, device: Device) -> str:
    """Why a device of such a system cannot run it, whatever is installed there."""
    systems, own = targets.get(artifact.target).systems, device.facts.system
    if not systems or not own or own.startswith(systems):
        return ""
    return f"{' or '.join(systems)} alone runs it, and this is {own}"


def _model(name: str, artifact: Artifact) -> Model:
    assert artifact.preprocess and artifact.sha256
    file = artifacts.model_file(artifact)
    return Model(name, file, artifact.sha256, RUNTIMES[file.suffix], artifact.input, artifact.preprocess)


def _finished(run: Run, device: Device, artifact: Artifact, subject: Subject, rules: BenchRules, progress: Progress) -> Latency:
    """The run in figures, with its answers and its sustained curve. A fault in these leaves the others as they are."""
    here = device.facts.spec == "local"
    name = machine() if here else f"{device.facts.name}, {device.facts.system} {device.facts.processor}".strip(", ")
    found = protocol.summary(run, device, "host" if here else "device", name, rules)
    if found.p50_ms is None:
        return found
    asked = protocol.asked(run.unit, rules)
    try:
        progress(f"{device.facts.spec}: answers", 0, None)
        asking = _Asking(OnDevice(run.model, device, asked, found.where), artifact, subject, rules.images)
        found = replace(found, answers=asking.beside(progress), unanswered=subject.unanswered)
    except EdgevitError as error:
        found = replace(found, unanswered=error.message, failed=found.failed or isinstance(error, DeviceFault))
    if rules.sustained:
        found = _sustained(found, run.model, device, asked, rules, progress)
    return found


def _sustained(found: Latency, model: Model, device: Device, asked: Asked, rules: BenchRules, progress: Progress) -> Latency:
    moments: list[Moment] = []

    def heard(moment: Moment) -> None:
        moments.append(moment)
        progress(f"{device.facts.spec}: sustained", len(moments), round(rules.sustained))

    try:
        device.sustain(model, asked, rules.sustained, heard)
    except DeviceFault as error:
        found = replace(found, reason=f"the sustained run ended early: {error.message}", failed=True)
    return replace(found, sustained=tuple(moments))


@dataclass
class OnDevice:
    """A model on a device, called as all runners are: images (N, 3, H, W) normalised, to logits (N, classes)."""

    model: Model
    device: Device
    asked: Asked
    where: str
    threads: int | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        found = self.device.answers(self.model, self.asked, denormalise(images, self.model.preprocess))
        return np.log(np.maximum(found, LEAST)) if self.model.input is Input.PIXELS else found


@dataclass(frozen=True)
class _Asking:
    """Whoever answers on a device, for which artifact, and how many images at most."""

    runner: OnDevice
    artifact: Artifact
    subject: Subject
    images: int

    def beside(self, progress: Progress) -> CheckResult:
        """The golden batch and, where the checkpoint's answers are known, a sample of the images, beside the checkpoint."""
        artifact = self.artifact
        assert artifact.config and artifact.tolerance
        golden = artifacts.read_golden(self.subject.folder, artifact.config)
        again = self.runner(golden.images)
        own = golden.logits if golden.artifact_logits is None else golden.artifact_logits
        error = relative_error(given(artifact, again), given(artifact, own))
        logits, expected, classes = self._sample(progress) or (again, golden.logits, golden.classes)
        return compare(logits, expected, classes, error, artifact.tolerance, self.runner.where, artifact.labels)

    def _sample(self, progress: Progress) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        import safetensors.numpy

        subject = self.subject
        if subject.references is None or subject.data is None or subject.checkpoint is None:
            return None
        everything = loader(checkpoints.read(subject.checkpoint), subject.data)
        places = list(range(0, len(everything.images), -(-len(everything.images) // self.images)))
        beside = safetensors.numpy.load_file(subject.references / (ORIGIN if self.artifact.origin else REFERENCE))["logits"]
        images = Loader(everything.images.take(places), everything.preprocess)
        logits, classes = outputs(self.runner, images, progress, f"answers on {self.runner.device.facts.spec}")
        return logits, beside[places], classes
