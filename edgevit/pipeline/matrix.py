"""Artifacts that exist, on the same images in every runtime that may open them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import targets
from edgevit import artifact as artifacts
from edgevit import stage
from edgevit.errors import BadInput
from edgevit.pipeline import reuse
from edgevit.pipeline.recheck import chosen_images, source_of
from edgevit.pipeline.runtimes import ran_in, with_runtimes
from edgevit.types import Artifact, Checkpoint, DataChoice, Progress, Ran, Runtime


@dataclass(frozen=True)
class Asked:
    """Which images: those of `data`, or of each artifact's record; at most `images` of them, spread over all."""

    data: str | None
    split: str
    images: int


def matrix(
    paths: list[Path], checkpoint: Path | None, asked: Asked, required: tuple[str, ...], progress: Progress
) -> list[Artifact]:
    """The artifacts at `paths`, verified, with how each goes in every runtime of its target. Nothing in them is changed."""
    found = []
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        answers = Answers(Path(scratch), progress)
        for path in paths:
            artifact = artifacts.verify(artifacts.read(path))
            if len(targets.runtimes(artifact.target)) < 2:
                raise BadInput(f"{artifact.target} has one runtime alone: {path}", "edgevit check runs it")
            source = source_of(artifact, checkpoint)
            given = answers.of(source, chosen_images(artifact, asked.data, asked.split, "refuse"))

            def one(runtime: Runtime, artifact: Artifact = artifact, given: dict[str, object] = given) -> Ran:
                arguments = {**given, "artifact": artifact, "runtime": runtime, "most": asked.images}
                return stage.run("edgevit.jobs.runtimes:chosen", Ran, progress, **arguments).value

            ran = tuple(ran_in(artifact, runtime, required, one) for runtime in targets.runtimes(artifact.target))
            found.append(with_runtimes(artifact, ran))
    return found


@dataclass(frozen=True)
class Answers:
    """The answers of checkpoints, each asked once for the same images."""

    scratch: Path
    progress: Progress
    known: dict[tuple[Path, DataChoice, Path | None], dict[str, object]] = field(default_factory=dict)

    def of(self, source: Checkpoint, data: DataChoice, origin: Checkpoint | None = None) -> dict[str, object]:
        """What the job needs of them."""
        key = (source.folder.resolve(), data, origin.folder.resolve() if origin else None)
        if key not in self.known:
            into = self.scratch / str(len(self.known))
            into.mkdir()
            reuse.Stages(source, data, None, origin=origin).reference(into, self.progress)
            self.known[key] = {"references": into, "data": data, "checkpoint": source.folder}
        return self.known[key]
