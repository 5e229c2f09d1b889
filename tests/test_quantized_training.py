"""edgevit train --quantize: a checkpoint that learned with the very integers that its export holds."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import pipeline
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Artifact, Checkpoint, DataChoice, Outcome, TrainConfig, read_label, silent

pytest.importorskip("torchao")
RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("float") / "run"
    return pipeline.train(TrainConfig(data="digits", model="Pico/8", epochs=4, batch=64, lr=3e-3), out, False, silent)


@pytest.mark.slow
def test_trained_and_exported(run_cli: RunCli, source: Checkpoint, tmp_path: Path) -> None:
    """What validation saw is what the files answer: in torch with fake integers, in the runtimes with real ones."""
    out = tmp_path / "run"
    ran = run_cli(
        "train", "--data", "digits", "--from", source.folder, "--quantize", "int4", "--epochs", "2", "--out", out, "--json"
    )
    assert ran.returncode == 0, ran.stderr
    made = checkpoints.read(out)
    assert made.train and (made.train.quantize, made.train.preset, made.train.keep_head) == ("int4", "quantize", True)
    assert made.train.teacher == str(source.folder.resolve()) and made.train.distil == "answers"
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2] and "loss" not in rows[0], "rounding alone comes first"
    assert made.chosen_by == "val_loss" and made.metrics["val_loss"] == min(row["val_loss"] for row in rows)
    found: list[Artifact] = list(
        pipeline.export(
            made.folder,
            [pipeline.Pair("tflite", "int4"), pipeline.Pair("tflite", "int8")],
            DataChoice("digits", "held-out", "refuse"),
            tmp_path / "export",
            False,
            silent,
        )
    )
    four, eight = found
    if four.outcome is Outcome.SKIPPED:
        pytest.skip(four.reason)
    assert four.outcome is Outcome.PASS and four.same_integers and four.quantization and eight.quantization
    assert (four.quantization.rounding, four.quantization.bias_correction, four.calibration) == ("nearest", False, "")
    assert four.top1 is not None and abs(four.top1 - made.metrics["val_top1"]) <= 2 / 359
    assert eight.quantization.name == "int8"
    assert (four.folder / four.origin).resolve() == source.folder.resolve() and not eight.origin
    assert four.reference_top1 == pytest.approx(source.metrics["val_top1"]), "answers are compared with its origin's"
    assert pipeline.check(four.folder, None, None, "auto", "refuse", silent).agreement == four.agreement
    artifacts.write(four.folder, dataclasses.replace(four, origin_sha256="0" * 64))
    with pytest.raises(BadInput, match="is not the origin"):
        pipeline.check(four.folder, None, None, "auto", "refuse", silent)
    learned = checkpoints.read_tensors(made.folder / checkpoints.QUANTIZED)
    exported = checkpoints.read_tensors(four.folder / checkpoints.QUANTIZED)
    assert learned.keys() == exported.keys() and all((exported[name] == value).all() for name, value in learned.items())


@pytest.mark.parametrize("how", ["other", "gone"])
def test_integers_that_are_not_the_learned_ones(how: str, source: Checkpoint, tmp_path: Path) -> None:
    given = {"data": "digits", "start": str(source.folder), "quantize": "int4", "epochs": 1, "batch": 64, "fraction": 0.2}
    made = pipeline.train(pipeline.settings(given), tmp_path / "run", False, silent)
    file = made.folder / checkpoints.QUANTIZED
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    pair, data = pipeline.Pair("tflite", "int4"), DataChoice("digits", "held-out", "refuse")
    with pytest.raises(DamagedFile, match="not the integers that the checkpoint learned with"):
        list(pipeline.export(made.folder, [pair], data, tmp_path / "export", False, silent))


def test_an_origin_that_is_gone_is_said(source: Checkpoint, tmp_path: Path) -> None:
    assert source.train
    gone = str(tmp_path / "gone")
    train = dataclasses.replace(source.train, start=gone, keep_head=True, quantize="int4", teacher=gone, distil="soft")
    taught = dataclasses.replace(source, train=train)
    assert gone in pipeline.lost_origin(taught, ["int8", "int4"])
    assert not pipeline.lost_origin(taught, ["int8"]) and not pipeline.lost_origin(source, ["int4"])
    there = dataclasses.replace(source, train=dataclasses.replace(train, start=str(source.folder)))
    assert not pipeline.lost_origin(there, ["int4"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--quantize", "int4"), "goes on from a checkpoint in float"),
        (("--quantize", "fp32", "--from", "SOURCE"), "fp32 quantizes nothing"),
        (("--quantize", "int8-static", "--from", "SOURCE"), "training does not see the static activations of int8-static"),
        (("--quantize", "int3", "--from", "SOURCE"), "unknown recipe: int3"),
        (("--preset", "quantize", "--from", "SOURCE"), "the preset quantize needs a recipe"),
    ],
    ids=["nothing to go on from", "float", "static", "unknown", "no recipe"],
)
def test_one_clear_error(more: tuple[str, ...], words: str, run_cli: RunCli, source: Checkpoint, tmp_path: Path) -> None:
    given = [source.folder if word == "SOURCE" else word for word in more]
    ran = run_cli("train", "--data", "digits", *given, "--out", tmp_path / "run")
    assert ran.returncode == 2 and words in " ".join(ran.stderr.split()) and "Traceback" not in ran.stderr
    assert not (tmp_path / "run").exists()


def test_it_goes_on_where_it_was(source: Checkpoint, tmp_path: Path) -> None:
    """Interrupted after an epoch and resumed: the weights of an undisturbed run, bit for bit."""
    given = {"data": "digits", "start": str(source.folder), "quantize": "int4", "epochs": 2, "batch": 64}
    whole = pipeline.train(pipeline.settings(given), tmp_path / "whole", False, silent)
    last = checkpoints.read_tensors(tmp_path / "whole" / "last" / checkpoints.WEIGHTS)
    assert whole.train and whole.train.quantize == "int4"
    from edgevit.jobs import train as job

    class Stop(Exception):
        pass

    def stop(label: str, done: float, total: float | None) -> None:
        if read_label(label).detail.startswith("epoch 2"):
            raise Stop

    run = tmp_path / "cut"
    with pytest.raises(Stop):
        job.fit(pipeline.settings(given), run, False, stop)
    job.fit(pipeline.settings(given), run, True, silent)
    again = checkpoints.read_tensors(run / "last" / checkpoints.WEIGHTS)
    assert all((again[name] == value).all() for name, value in last.items()) and again.keys() == last.keys()
    assert json.loads((run / "last" / "checkpoint.json").read_text())["train"]["quantize"] == "int4"
