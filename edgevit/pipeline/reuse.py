"""Stages that are not done again: each is known by the hash of all that its answer depends on."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

import targets
from edgevit import artifact as artifacts
from edgevit import cache as caches
from edgevit import checkpoint as checkpoints
from edgevit import folder, record, stage
from edgevit.cache import Cache, Entry
from edgevit.stage import Children, Finished
from edgevit.types import (
    Artifact,
    Calibration,
    Checkpoint,
    CheckResult,
    DataChoice,
    Exported,
    Outcome,
    Progress,
    QuantRecipe,
    Ran,
    Runtime,
)
from edgevit.versions import machine, sources, versions

T = TypeVar("T")
IMAGES = ("numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class Once(Finished[T]):
    """What a stage returned, now or when it was last done: `seconds` and `peak_bytes` are of then."""

    reused: bool = False


@dataclass(frozen=True)
class Stages:
    """The stages of one export, on the images that `images` identifies, `seen` those to calibrate on. Without a `cache` each is
    done.
    """

    source: Checkpoint
    data: DataChoice
    cache: Cache | None
    weights: str = ""
    images: str = ""
    calibration: Calibration | None = None
    seen: str = ""
    origin: Checkpoint | None = None

    def reference(self, into: Path, progress: Progress) -> Once[int]:
        origin = self.origin.folder if self.origin else None
        given = {"checkpoint": self.source.folder, "origin": origin, "data": self.data}
        return self._run("edgevit.jobs.reference:reference", int, self._reference(), into, progress, None, **given)

    def quantize(self, recipe: QuantRecipe, into: Path, progress: Progress, children: Children) -> Once[int]:
        looks = recipe.calibrates
        given = {"checkpoint": self.source.folder, "recipe": recipe, "calibration": self.calibration if looks else None}
        depends = {"weights": self.weights, "recipe": recipe, "seen": self.seen if looks else ""}
        depends |= _here("torch", "torchao", *IMAGES)
        return self._run("edgevit.jobs.quantize:quantize", int, depends, into, progress, children, **given)

    def as_learned(self, into: Path, progress: Progress, children: Children) -> Once[int]:
        """In place of `quantize`, for the recipe that the checkpoint was trained for."""
        job = "edgevit.jobs.quantize:as_learned"
        depends = {"weights": self.weights, "integers": self.source.quantized_sha256, **_here("torch", "torchao", *IMAGES)}
        return self._run(job, int, depends, into, progress, children, checkpoint=self.source.folder)

    def convert(
        self,
        artifact: Artifact,
        quantized: Path | None,
        references: Path,
        into: Path,
        progress: Progress,
        children: Children,
        threads: int | None = None,
    ) -> Once[Exported]:
        given = {"checkpoint": self.source.folder, "quantized": quantized, "references": references, "artifact": artifact}
        depends = {"reference": self._reference(), **self._of(artifact)}
        if self.cache and quantized:
            depends["quantized"] = folder.sha256(quantized)
        job = "edgevit.jobs.export:convert"
        return self._run(job, Exported, depends, into, progress, children, threads=threads, **given)

    def check(
        self,
        artifact: Artifact,
        references: Path,
        into: Path,
        progress: Progress,
        children: Children | None,
        threads: int | None = None,
    ) -> Once[CheckResult]:
        """Of an artifact whose model file was hashed. One that broke is checked anew the next time."""
        given = {"artifact": artifact, "references": references, "data": self.data, "checkpoint": self.source.folder}
        depends = self._of(artifact) if self.cache else {}
        if self.cache:
            depends |= {"reference": self._reference(), "file": artifact.sha256, "answers": folder.hashes(references)}
        job = "edgevit.jobs.check:check"
        return self._run(job, CheckResult, depends, into, progress, children, threads=threads, **given)

    def runtime(self, artifact: Artifact, runtime: Runtime, batch: Path, progress: Progress, children: Children) -> Ran:
        """The golden batch in the folder `batch` in another runtime. One in which it broke is tried anew the next time."""
        depends = self._of(artifact) if self.cache else {}
        if self.cache:
            libraries = _here(runtime.package, *(library.module for library in runtime.needs))
            depends |= {
                "runtime": runtime,
                "file": artifact.sha256,
                "batch": folder.sha256(batch / artifacts.GOLDEN),
                **libraries,
            }
        with tempfile.TemporaryDirectory(prefix="edgevit-") as nothing:
            job, given = "edgevit.jobs.runtimes:golden", {"artifact": artifact, "runtime": runtime, "batch": batch}
            return self._run(job, Ran, depends, Path(nothing), progress, children, **given).value

    def _reference(self) -> dict[str, object]:
        """Wherever the checkpoint lies, and by whatever name its images go."""
        anywhere = dataclasses.replace(self.source, folder=Path())
        taught = dataclasses.replace(self.origin, folder=Path()) if self.origin else None
        depends = {"weights": self.weights, "checkpoint": anywhere, "origin": taught, "images": self.images}
        return {**depends, **_here("torch", *IMAGES)}

    def _of(self, artifact: Artifact) -> dict[str, object]:
        target = targets.get(artifact.target)
        libraries = _here("torch", *IMAGES, *(library.module for library in target.needs))
        recipe = artifact.quantization
        return {
            "weights": self.weights,
            "target": target,
            "recipe": recipe,
            "merges": artifact.merges,
            "input": artifact.input,
            **libraries,
        }

    def _run(
        self,
        job: str,
        returns: type[T],
        depends: dict[str, object],
        into: Path,
        progress: Progress,
        children: Children | None,
        **given: object,
    ) -> Once[T]:
        """`job` as it was done before, or in a child; its files are left in the empty folder `into`."""
        name = caches.key({"stage": job, **depends}) if self.cache else ""
        if self.cache and (found := self._taken(self.cache, name, returns, into)):
            return found
        done = (children or Children()).run(job, returns, progress, into=into, **given)
        if self.cache and _well(done.value):
            entry = Entry(job, record.builtins(done.value), done.seconds, done.peak_bytes, folder.hashes(into))
            self.cache.keep(name, entry, into)
        return Once(done.value, done.seconds, done.peak_bytes)

    def _taken(self, cache: Cache, name: str, returns: type[T], into: Path) -> Once[T] | None:
        if not (entry := cache.take(name, into)):
            return None
        try:
            value = msgspec.convert(entry.value, returns, dec_hook=record._rich)
            if isinstance(value, Exported) and value.file not in os.listdir(into):
                raise msgspec.ValidationError(f"no such file: {value.file}")
        except msgspec.ValidationError:
            cache.damaged(name, into)
            return None
        return Once(value, entry.seconds, entry.peak_bytes, reused=True)


def stages(
    source: Checkpoint,
    data: DataChoice,
    cache: Cache | None,
    progress: Progress,
    calibration: Calibration | None = None,
    origin: Checkpoint | None = None,
) -> Stages:
    """The stages of an export. The weights and all images are hashed first, the images as they are decoded."""
    images = stage.run("edgevit.jobs.reference:identity", str, progress, checkpoint=source.folder, data=data).value
    seen = ""
    if calibration:
        job = "edgevit.jobs.quantize:identity"
        seen = stage.run(job, str, progress, checkpoint=source.folder, calibration=calibration).value
    return Stages(source, data, cache, folder.sha256(source.folder / checkpoints.WEIGHTS), images, calibration, seen, origin)


def _well(value: object) -> bool:
    """Whether the same would come of it again: wrong answers stay wrong, and what broke may not break the next time."""
    return not isinstance(value, CheckResult | Ran) or value.outcome in (Outcome.PASS, Outcome.WRONG_ANSWERS)


def _here(*packages: str) -> dict[str, object]:
    """This machine, edgevit's own sources, and the versions of the packages. The number of threads is the order of some sums."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {"versions": versions(*packages), "sources": sources(), "machine": machine(), "threads": threads}
