"""An artifact in every runtime that may open it, each in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import targets
from edgevit.errors import BadInput, EdgevitError, UnknownName
from edgevit.pipeline.reuse import Stages
from edgevit.stage import Children
from edgevit.types import Artifact, Outcome, Progress, Ran, Runtime
from edgevit.versions import versions

EVERY = "all"


def known() -> tuple[str, ...]:
    """The names of all runtimes of all targets."""
    return tuple(dict.fromkeys(runtime.name for target in targets.NAMES for runtime in targets.runtimes(target)))


def required(names: Iterable[str]) -> tuple[str, ...]:
    """The runtimes of those names. Raises UnknownName."""
    chosen = tuple(names)
    for name in chosen:
        if name not in (*known(), EVERY):
            raise UnknownName("runtime", name, (*known(), EVERY))
    return known() if EVERY in chosen else chosen


def golden(
    artifact: Artifact,
    needed: tuple[str, ...],
    stages: Stages,
    batch: Path,
    progress: Progress,
    children: Children,
    at_once: int = 1,
) -> tuple[Ran, ...]:
    """The golden batch, which lies in the folder `batch`, in all but the artifact's own runtime; in so many `at_once`."""

    def one(runtime: Runtime) -> Ran:
        return stages.runtime(artifact, runtime, batch, progress, children)

    others = [runtime for runtime in targets.runtimes(artifact.target) if not runtime.own]
    with ThreadPoolExecutor(at_once) as threads:
        return tuple(threads.map(lambda runtime: ran_in(artifact, runtime, needed, one), others))


def ran_in(artifact: Artifact, runtime: Runtime, needed: tuple[str, ...], one: Callable[[Runtime], Ran]) -> Ran:
    """How `one` says that it went in a runtime, or why it could not."""
    must = runtime.own or runtime.name in (*needed, *targets.get(artifact.target).wanted)
    version = versions(runtime.package).get(runtime.package, "")
    if absent := [library.module for library in runtime.needs if not targets.present(library)]:
        found = Ran(runtime.name, Outcome.SKIPPED, f"{', '.join(absent)} is not installed")
    else:
        try:
            found = one(runtime)
        except BadInput:
            raise
        except EdgevitError as error:  # a runtime that took its process with it
            found = Ran(runtime.name, Outcome.RUN_FAILED, error.message)
    return dataclasses.replace(found, version=version, required=must)


def with_runtimes(artifact: Artifact, ran: tuple[Ran, ...]) -> Artifact:
    """The record with how it went in each. One that is required and did not pass fails what was right so far."""
    artifact = dataclasses.replace(artifact, runtimes=ran)
    broken = [one for one in ran if one.required and one.outcome is not Outcome.PASS]
    if not broken:
        return artifact
    outcome = broken[0].outcome if artifact.outcome is Outcome.PASS else artifact.outcome
    words = [f"in {one.runtime}: {one.outcome.value}: {one.reason}" for one in broken]
    return dataclasses.replace(artifact, outcome=outcome, reason="; ".join(filter(None, [artifact.reason, *words])))
