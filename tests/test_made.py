"""A road's checkpoint and artifacts are made once, and again where what they depend on changed. No child is started."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit.cache import Cache
from edgevit.errors import DamagedFile
from edgevit.pipeline import beginning, made, training
from edgevit.pipeline.how import How
from edgevit.types import Artifact, ImportChoice, Outcome, Reused, Road, TrainConfig, silent

Export = Callable[..., tuple[list[str], list[Artifact], list[Reused]]]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    (tmp_path / "stages").mkdir()
    return Cache(tmp_path / "stages", 10_000_000, pytest.fail)


@pytest.fixture
def photos(images: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(images, tmp_path / "photos"))


@pytest.fixture
def export(checkpoint: Path, photos: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Export:
    """The artifacts of a road to tflite: the names of those that were exported now, all of them, and what was reused.

    No two exports leave the very same record.
    """
    clock = itertools.count(1.0)

    def run(outcome: Outcome = Outcome.PASS, kept: bool = True, **more: Any) -> tuple[list[str], list[Artifact], list[Reused]]:
        exported: list[str] = []

        def fake(source: Path, wanted: list[Any], data: Any, out: Path, force: bool, *_: object) -> Iterator[Artifact]:
            assert force
            for pair in wanted:
                exported.append(pair.name)
                whole = outcome not in (Outcome.SKIPPED, Outcome.CONVERT_FAILED)
                artifact = Artifact(
                    "tflite", pair.quantization.name, outcome, file="model" if whole else None, seconds=next(clock)
                )
                if whole:
                    (out / pair.name).mkdir(parents=True, exist_ok=True)
                    (out / pair.name / "model").write_text(pair.name)
                    artifact = artifacts.write(out / pair.name, artifact)
                    artifact = dataclasses.replace(artifact, folder=out / pair.name)
                yield artifact

        monkeypatch.setattr(made, "export", fake)
        asked = Road(
            **{"targets": ("tflite",), "recipes": ("fp32", "int8"), "checkpoint": checkpoint, "data": str(photos), **more}
        )
        how = How("edgevit run", cache if kept else None, silent, lambda line: None)
        found, reused = made.artifacts(asked, checkpoints.read(checkpoint), tmp_path / "artifacts", how)
        return exported, found, reused

    return run


BOTH = ["tflite-fp32", "tflite-int8"]


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.UNCHECKED, Outcome.WRONG_ANSWERS, Outcome.SKIPPED])
def test_what_comes_out_the_same_is_made_once(outcome: Outcome, export: Export) -> None:
    names, first, reused = export(outcome)
    assert (names, reused) == (BOTH, [])
    names, second, reused = export(outcome)
    assert names == [] and [one.what for one in reused] == BOTH and all(one.made for one in reused)
    assert [(one.name, one.outcome, one.file) for one in second] == [(one.name, outcome, one.file) for one in first]


def test_what_a_stage_failed_at_is_tried_again(export: Export) -> None:
    export(Outcome.CONVERT_FAILED)
    assert export()[0] == BOTH and export()[0] == []


def test_only_what_is_new_is_made_and_the_order_stays(export: Export) -> None:
    export(recipes=("int8",))
    names, found, reused = export()
    assert names == ["tflite-fp32"] and [one.name for one in found] == BOTH and [one.what for one in reused] == ["tflite-int8"]


def test_an_artifact_that_was_changed_or_removed_is_made_again(export: Export, tmp_path: Path) -> None:
    export()
    (tmp_path / "artifacts" / "tflite-int8" / "model").write_text("other")
    assert export()[0] == ["tflite-int8"]
    shutil.rmtree(tmp_path / "artifacts" / "tflite-fp32")
    assert export()[0] == ["tflite-fp32"] and export()[0] == []


def test_other_images_make_all_anew(export: Export, photos: Path) -> None:
    export()
    shutil.copyfile(photos / "red" / "01.png", photos / "red" / "04.png")
    assert export()[0] == BOTH
    assert export(split="all")[0] == BOTH and export(runtimes=("litert",))[0] == BOTH


@pytest.mark.parametrize("what", ["sources", "machine", "_installed", "_templates"])
def test_another_version_of_anything_makes_all_anew(what: str, export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    export()
    monkeypatch.setattr(made, what, lambda: "others")
    assert export()[0] == BOTH


def test_without_a_cache_all_is_made_each_time(export: Export) -> None:
    export()
    assert export(kept=False)[0] == BOTH


# What it begins with.


@pytest.fixture
def begin(checkpoint: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """What a road begins with, and what was done for it: training and imports leave a copy of `checkpoint`."""
    done: list[str] = []

    def copied(word: str) -> Callable[..., None]:
        def work(*given: Any) -> None:
            done.append(word)
            out = next(one for one in given if isinstance(one, Path) and one.name.startswith("checkpoint-"))
            shutil.copytree(checkpoint, out)

        return work

    monkeypatch.setattr(training, "train", copied("train"))
    monkeypatch.setattr(training, "resume", lambda given, out, progress: done.append("resume"))
    monkeypatch.setattr(beginning, "import_weights", copied("import"))

    def run(**begins: Any) -> tuple[list[str], Path, str]:
        done.clear()
        found, when = beginning.checkpoint(Road(("tflite",), ("fp32",), **begins), tmp_path / "runs", cache, silent)
        return list(done), found.folder, when

    return run


def test_a_training_is_done_once_and_for_other_settings_or_images_again(begin: Any, photos: Path, tmp_path: Path) -> None:
    settings = TrainConfig(str(photos), epochs=1)
    done, first, when = begin(train=settings)
    assert (done, when) == (["train"], "")
    done, again, when = begin(train=settings)
    assert done == [] and again == first and when.startswith("20")
    moved = shutil.copytree(photos, tmp_path / "moved")
    assert begin(train=dataclasses.replace(settings, data=str(moved)))[:2] == ([], first)
    assert begin(train=dataclasses.replace(settings, watch="none", said=("data", "epochs")))[:2] == ([], first)
    assert begin(train=dataclasses.replace(settings, epochs=2))[0] == ["train"]
    (photos / "red" / "01.png").unlink()
    assert begin(train=settings)[0] == ["train"]


def test_an_unfinished_training_goes_on(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(train=TrainConfig("digits"))
    monkeypatch.setattr(training, "can_go_on", lambda out: True)
    assert begin(train=TrainConfig("digits"))[0] == ["resume"]


def test_weights_of_others_are_imported_once(begin: Any, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"one")
    choice = ImportChoice(str(tmp_path / "weights.safetensors"))
    assert [begin(imported=choice)[0] for _ in range(2)] == [["import"], []]
    assert begin(imported=dataclasses.replace(choice, heads=3))[0] == ["import"]
    (tmp_path / "weights.safetensors").write_bytes(b"two")
    assert begin(imported=choice)[0] == ["import"]
    assert [begin(imported=ImportChoice("timm/vit"))[0] for _ in range(2)] == [["import"], []]


def test_changed_weights_are_found_before_any_work(begin: Any, checkpoint: Path, tmp_path: Path) -> None:
    assert begin(checkpoint=checkpoint) == ([], checkpoints.find(checkpoint), "")
    mine = Path(shutil.copytree(checkpoint, tmp_path / "mine"))
    file = checkpoints.find(mine) / checkpoints.WEIGHTS
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedFile, match="its hash is not the one"):
        begin(checkpoint=mine)
    file.unlink()
    with pytest.raises(DamagedFile, match="no such file"):
        begin(checkpoint=mine)
