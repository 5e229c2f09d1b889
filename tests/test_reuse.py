"""Unchanged stages are not done again, changed ones are, and both are said."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantize
import targets
from edgevit import artifact as artifacts
from edgevit import cache as caches
from edgevit import checkpoint as checkpoints
from edgevit import stage
from edgevit.cache import Cache
from edgevit.pipeline import reuse
from edgevit.types import Artifact, CheckResult, DataChoice, Delegation, Exported, Outcome, silent

RunCli = Callable[..., subprocess.CompletedProcess[str]]
Sabotage = Callable[..., dict[str, str]]
Started = Callable[..., list[str]]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def export(run_cli: RunCli, sabotage: Sabotage, checkpoint: Path, kept: Path, tmp_path: Path) -> Callable[..., Any]:
    """`edgevit export` to the target `null` with a cache of the test's: the process, and the one artifact."""

    def run(
        *more: object, model: Path = checkpoint, recipe: str = "fp32", mishap: str = "", env: dict[str, str] | None = None
    ) -> Any:
        place = {**sabotage(*filter(None, [mishap])), "EDGEVIT_CACHE": str(kept), **(env or {})}
        arguments = ("--target", "null", "--recipe", recipe, "--out", tmp_path / "out", "--force", "--json", *more)
        ran = run_cli("export", model, *arguments, env=place)
        assert ran.stdout, ran.stderr
        return ran, json.loads(ran.stdout)[0]

    return run


ABORTS = "converters.null:halfway:1:abort"
"""Whoever converts with this fails: who passes has not converted."""


def test_the_second_export_converts_and_checks_nothing(export: Callable[..., Any], tmp_path: Path) -> None:
    _, first = export()
    before = (tmp_path / "out" / "null-fp32" / first["file"]).read_bytes()
    ran, second = export(mishap=f"{ABORTS};targets.null:load:1:abort")
    assert (first["outcome"], second["outcome"], ran.returncode) == ("PASS", "PASS", 0)
    assert (first["reused"], second["reused"]) == ([], ["convert", "check"])
    assert "answers of the checkpoint, unchanged and reused: done" in ran.stderr
    assert "null-fp32: PASS (unchanged, reused: convert, check)" in ran.stderr
    told = ("reused", "seal")
    assert {k: v for k, v in first.items() if k not in told} == {k: v for k, v in second.items() if k not in told}
    made = artifacts.verify(artifacts.read(tmp_path / "out" / "null-fp32"))
    assert (made.folder / first["file"]).read_bytes() == before and made.reused == ("convert", "check")


@pytest.mark.slow
def test_without_a_cache_all_is_done_again(export: Callable[..., Any], kept: Path) -> None:
    export()
    ran, found = export("--no-cache", mishap=ABORTS)
    assert ran.returncode == 1 and found["outcome"] == "CONVERT_FAILED"
    shutil.rmtree(kept)
    export("--no-cache")
    assert not kept.exists()


def test_a_damaged_entry_is_made_again_and_said(export: Callable[..., Any], kept: Path) -> None:
    export()
    for file in kept.rglob("model.null"):
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    ran, found = export()
    assert ran.returncode == 0 and "convert" not in found["reused"] and "damaged in the cache, made again" in ran.stderr
    _, found = export(mishap=ABORTS)
    assert found["reused"] == ["convert", "check"]


def test_wrong_answers_are_known_and_not_computed_again(export: Callable[..., Any]) -> None:
    """The fp16 of `null` answers with NaN."""
    for reused in ([], ["convert", "check"]):
        _, found = export(recipe="fp16")
        assert (found["outcome"], found["reused"]) == ("WRONG_ANSWERS", reused)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"EDGEVIT_CACHE": "/proc/edgevit"}, "no cache: "),
        ({"EDGEVIT_CACHE": "", "HOME": "", "XDG_CACHE_HOME": ""}, "no cache: HOME"),
    ],
    ids=["a place that cannot be written", "no home"],
)
def test_it_goes_without_a_cache(place: dict[str, str], words: str, export: Callable[..., Any]) -> None:
    ran, found = export(env=place)
    assert ran.returncode == 0 and found["outcome"] == "PASS" and ran.stderr.count(words) == 1


@pytest.fixture
def counted(checkpoint: Path, images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Started:
    """The stages of an export to tflite, which write next to nothing: no child is started. What started, and what was made."""
    said: list[str] = []
    cache = Cache(tmp_path / "stages", 1_000_000, said.append)
    cache.stages.mkdir()

    def run(
        model: Path = checkpoint, identity: str = "images", recipe: str = "fp32", file: bytes = b"model", quantizes: bool = False
    ) -> Any:
        started: list[str] = []

        def child(self: object, job: str, returns: type, progress: object, into: Path, **given: object) -> Any:
            started.append(job.rpartition(":")[2])
            (into / "left").write_bytes(file)
            return stage.Finished(_values(job), 1.0, 2)

        monkeypatch.setattr(stage.Children, "run", child)
        source = checkpoints.read(model)
        stages = reuse.Stages(source, DataChoice("x", "all", "refuse"), cache, source.weights_sha256, identity)
        made = quantize.get(recipe)
        blank = Artifact("tflite", recipe, Outcome.PASS, quantization=made, config=source.config, sha256=file.hex())
        places = [tmp_path / name for name in ("references", "converted", "checked", "quantized")]
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        references, converted, checked, quantized = places
        if quantizes:
            stages.quantize(made, quantized, silent, stage.Children())
        stages.convert(blank, quantized / "left" if quantizes else None, references, converted, silent, stage.Children())
        stages.check(blank, references, checked, silent, stage.Children())
        return started

    return run


def _values(job: str) -> object:
    found = {"convert": Exported("left", Delegation(), ()), "quantize": 0}
    return found.get(job.rpartition(":")[2], CheckResult(Outcome.PASS, "", 1, 1, 1, 1, 0, where="host"))


BOTH = ["convert", "check"]


def test_what_changes_nothing_starts_nothing(counted: Any, checkpoint: Path, tmp_path: Path) -> None:
    assert counted() == BOTH and counted() == []
    assert counted(shutil.copytree(checkpoint, tmp_path / "moved")) == []


def test_what_a_recipe_made_is_kept_and_another_conversion_follows_from_it(counted: Any) -> None:
    assert counted(recipe="int8", quantizes=True) == ["quantize", *BOTH] and counted(recipe="int8", quantizes=True) == []
    assert counted(recipe="int4-g32", quantizes=True)[0] == "quantize"
    assert counted(recipe="int8", quantizes=True, file=b"others") == ["check"], "its integers are those of the first"


def test_other_images_another_recipe_another_file(counted: Any) -> None:
    counted()
    assert counted(identity="others") == BOTH and counted(recipe="int8") == BOTH
    assert counted(file=b"other") == ["check"]


def test_other_weights(counted: Any, checkpoint: Path, tmp_path: Path) -> None:
    counted()
    other = checkpoints.find(Path(shutil.copytree(checkpoint, tmp_path / "other")))
    text = (other / checkpoints.RECORD).read_text()
    (other / checkpoints.RECORD).write_text(text.replace(checkpoints.read(other).weights_sha256, "0" * 64))
    assert counted(other) == BOTH


@pytest.mark.parametrize("what", ["versions", "sources", "machine"])
def test_another_version_source_or_machine(what: str, counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counted()
    monkeypatch.setattr(reuse, what, lambda *_: {"torch": "0"} if what == "versions" else "other")
    assert counted() == BOTH


def test_another_number_of_threads_and_another_target_record(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counted()
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    assert counted() == BOTH
    changed = dataclasses.replace(targets.get("tflite"), activations=())
    monkeypatch.setattr(targets, "get", lambda name: changed)
    assert counted() == BOTH


def test_images_are_known_by_what_is_in_them(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    """A copy elsewhere is the same; one pixel's worth of change in one of them is not, under whatever name."""

    def identity(folder: Path) -> str:
        from edgevit.jobs.reference import identity as job

        return job(checkpoint, DataChoice(str(folder), "all", "refuse"), silent)

    copy = Path(shutil.copytree(images, tmp_path / "copy"))
    assert identity(copy) == identity(images)
    shutil.copyfile(copy / "red" / "01.png", copy / "red" / "04.png")
    assert identity(copy) != identity(images)


def test_weights_that_were_changed_are_found_though_all_is_kept(
    export: Callable[..., Any], checkpoint: Path, tmp_path: Path, run_cli: RunCli, sabotage: Sabotage, kept: Path
) -> None:
    """Nothing of the cache answers for weights that are no longer those of the record."""
    mine = Path(shutil.copytree(checkpoint, tmp_path / "mine"))
    export(model=mine)
    file = checkpoints.find(mine) / checkpoints.WEIGHTS
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    arguments = ("--target", "null", "--recipe", "fp32", "--out", tmp_path / "other")
    ran = run_cli("export", mine, *arguments, env={**sabotage(), "EDGEVIT_CACHE": str(kept)})
    assert ran.returncode == 2 and "its hash is not the one" in ran.stderr


def test_the_command_shows_and_clears(export: Callable[..., Any], run_cli: RunCli, kept: Path) -> None:
    export()
    env = {"EDGEVIT_CACHE": str(kept)}
    shown, cleared, after = (json.loads(run_cli("cache", *a, "--json", env=env).stdout) for a in ((), ("--clear",), ()))
    assert shown["entries"] == cleared["entries"] == 3 and shown["bytes"] > 1000 and shown["folder"] == str(kept)
    assert (after["entries"], after["bytes"], after["limit"]) == (0, 0, 5_000_000_000)
    assert caches.STAGES not in os.listdir(kept)
