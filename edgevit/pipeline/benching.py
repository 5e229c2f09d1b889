"""Artifacts measured on devices: what is asked of each, and the checkpoint's answers beside which its own are judged."""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import replace
from pathlib import Path

from edgevit import artifact as artifacts
from edgevit import stage
from edgevit.errors import BadInput
from edgevit.pipeline.matrix import Answers
from edgevit.pipeline.recheck import chosen_images, origin_of, source_of
from edgevit.types import Artifact, Bench, BenchRules, DeviceFacts, Progress
from targets import devices
from targets.devices import PLAIN, Access


def reachable(specs: list[str]) -> tuple[DeviceFacts, ...]:
    """Devices that there are, and those that are named: what each says of itself, or why it does not."""
    return devices.reachable(tuple(specs))


def facts(device: str) -> DeviceFacts:
    """What a device says of itself, or why it does not. It may be at work for others meanwhile."""
    return devices.asked(device)


def bench(
    folders: list[Path], device: str, rules: BenchRules, checkpoint: Path | None, progress: Progress, access: Access = PLAIN
) -> Bench:
    """The artifacts on that device, launched in turn. Raises BadInput, DamagedFile for a changed one, DeviceFault.

    Where `checkpoint` is None, each artifact's own record says where it is; without it, the golden batch alone is answered.
    """
    devices.kind(device)
    found = [artifacts.verify(artifacts.read(path)) for path in folders]
    for artifact in found:
        artifacts.model_file(artifact)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        answers = Answers(Path(scratch), progress)
        subjects = [_subject(artifact, rules, checkpoint, answers) for artifact in found]
        arguments = {"subjects": subjects, "device": device, "rules": rules, "access": access}
        made = stage.run("edgevit.jobs.bench:bench", Bench, progress, **arguments).value
    return replace(made, made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))


def bench_all(
    folders: list[Path], specs: list[str], rules: BenchRules, checkpoint: Path | None, progress: Progress, access: Access = PLAIN
) -> list[Bench]:
    """The same on each of several devices, one after the other."""
    for spec in specs:
        devices.kind(spec)
    return [bench(folders, spec, rules, checkpoint, progress, access) for spec in specs]


def _subject(artifact: Artifact, rules: BenchRules, checkpoint: Path | None, answers: Answers) -> dict[str, object]:
    """What the job needs of an artifact; where the checkpoint or its images are not there, why they are not."""
    if not rules.images:
        return {"folder": artifact.folder}
    try:
        source = source_of(artifact, checkpoint)
        given = answers.of(source, chosen_images(artifact, None, "auto", "refuse"), origin_of(artifact))
    except BadInput as error:
        return {"folder": artifact.folder, "unanswered": f"the golden batch alone was answered: {error.message}"}
    return {"folder": artifact.folder, **given}
