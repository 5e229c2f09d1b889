"""Where the time of a program goes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgevit import artifact as artifacts
from edgevit.types import Profile, Progress


def profile(folder: Path, etdump: Path | None, runs: int, progress: Progress) -> Profile:
    """Where the time of an ExecuTorch program goes: of `runs` runs here, or as the file `etdump` of a device says."""
    from targets import etdump as dumps

    artifact = artifacts.verify(artifacts.read(folder))
    assert artifact.config
    if etdump:
        progress("reading the ETDump", 0, None)
        return dumps.read(etdump, artifact.config.depth)
    image = artifacts.read_golden(folder, artifact.config).images[:1]
    progress("running", 0, None)
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        dumps.record(artifacts.model_file(artifact), image, runs, Path(scratch) / "run.etdp")
        return dumps.read(Path(scratch) / "run.etdp", artifact.config.depth)
