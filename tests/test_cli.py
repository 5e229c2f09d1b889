"""Misuse and bad input on the command line: one message that names what is wrong, exit code 2, no traceback, nothing made."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgevit import artifact as artifacts
from edgevit.errors import DamagedFile

Ran = subprocess.CompletedProcess[str]
RunCli = Callable[..., Ran]

ARTIFACT_KEYS = {
    "target", "recipe", "outcome", "file", "bytes", "sha256", "delegation", "seconds", "peak_bytes", "top1", "reference_top1",
    "agreement", "images",
}  # fmt: skip


@pytest.fixture
def refused(run_cli: RunCli, tmp_path: Path) -> Callable[..., str]:
    """Run in an empty folder, expect exit code 2, and give back what was said."""

    def refuse(*args: object, **options: Any) -> str:
        before = sorted(tmp_path.rglob("*"))
        ran = run_cli(*args, cwd=tmp_path, **options)
        assert ran.returncode == 2, ran.stderr
        assert ran.stdout == "" and "Traceback" not in ran.stderr and ran.stderr.count("error:") == 1
        assert sorted(tmp_path.rglob("*")) == before, "something was made or removed"
        return ran.stderr

    return refuse


def _copy(path: Path, to: Path) -> Path:
    return Path(shutil.copytree(path, to))


# Names.


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("--target", "corml", "error: unknown target: corml\n\nhint: nearest: coreml"),
        ("--target", "[red]x", "error: unknown target: [red]x"),
        ("--recipe", "int7", "error: unknown recipe: int7\n\nhint: nearest: int8"),
        ("--recipe", "INT8", "error: unknown recipe: INT8\n\nhint: nearest: int8"),
    ],
)
def test_an_unknown_target_or_recipe_shows_its_neighbours(
    refused: Callable[..., str], checkpoint: Path, option: str, name: str, words: str
) -> None:
    """The last of several is looked at before any work."""
    other = ["--target", "tflite"] if option == "--recipe" else ["--target", "all", "--recipe", "fp32"]
    assert words in refused("export", checkpoint, *other, option, name, "--out", "out")


def test_an_unknown_model_shows_its_neighbours(refused: Callable[..., str], images: Path) -> None:
    said = refused("train", "--data", images, "--model", "Pikko/8", "--image-size", 16, "--out", "out")
    assert "error: unknown model: Pikko/8" in said and "nearest: Pico/8" in said


def test_an_unknown_source_shows_the_known_ones(refused: Callable[..., str]) -> None:
    said = refused("train", "--data", "digitz", "--out", "out")
    assert "error: unknown data source: digitz" in said and "nearest: digits" in said


def test_a_recipe_that_the_target_does_not_hold(refused: Callable[..., str], checkpoint: Path) -> None:
    said = refused("export", checkpoint, "--target", "tflite", "--recipe", "fp16", "--out", "out")
    assert "error: tflite does not hold fp16" in said and "the nearest that it holds: fp32" in said


# Numbers and choices.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--lr", "-1"), "lr must be between"),
        (("--lr", "0"), "lr must be between"),
        (("--lr", "nan"), "lr must be between"),
        (("--lr", "inf"), "lr must be between"),
        (("--weight-decay", "-0.1"), "weight-decay must be between"),
        (("--label-smoothing", "1"), "label-smoothing must be between"),
        (("--held-out", "0"), "held-out"),
        (("--held-out", "1"), "held-out"),
        (("--epochs", "100001"), "epochs"),
        (("--augment", "flip"), "unknown augment: flip; known: none, light, photo, strong"),
        (("--image-size", "7"), "not an image size: 7"),
        (("--image-size", "32x"), "not an image size: 32x"),
        (("--positions", "rotary"), "unknown positions: rotary"),
        (("--mixup", "0.6", "--cutmix", "0.6"), "mixup and cutmix share the batches"),
        (("--on-bad-image", "ignore"), "unknown on-bad-image: ignore; known: refuse, skip"),
    ],
    ids=" ".join,
)
def test_a_setting_that_cannot_be_meant(refused: Callable[..., str], arguments: tuple[str, ...], words: str) -> None:
    assert words in refused("train", "--data", "digits", "--out", "out", *arguments)


def test_training_on_nothing(refused: Callable[..., str]) -> None:
    said = refused("train", "--out", "out")
    assert "error: nothing to train on" in said and "hint: --data" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--data", "digits"),
        ("train", "--data", "digits", "--out", "out", "--epochs", "0"),
        ("train", "--data", "digits", "--out", "out", "--epochs", "two"),
        ("train", "--data", "digits", "--out", "out", "--batch", "0"),
        ("train", "--data", "digits", "--out", "out", "--batch", "-1"),
        ("export", "run", "--out", "out"),
        ("bench", "artifact", "--runs", "49"),
        ("bench", "artifact", "--threads", "0"),
        ("bench",),
        ("predict", "run"),
        ("models", "--classes", "0"),
        ("fly",),
        ("train", "--fast"),
    ],
    ids=" ".join,
)
def test_what_the_parser_refuses(run_cli: RunCli, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run_cli(*arguments, cwd=tmp_path)
    assert ran.returncode == 2 and ran.stdout == "" and "Usage: edgevit" in ran.stderr and "Traceback" not in ran.stderr
    assert os.listdir(tmp_path) == []


def test_a_patch_that_does_not_divide_the_image(refused: Callable[..., str], images: Path) -> None:
    said = refused("train", "--data", images, "--model", "Pico/8", "--image-size", 18, "--out", "out")
    assert "patch 8 of Pico/8 does not divide image size 18" in said and "try --image-size 16" in said


def test_an_unknown_split(refused: Callable[..., str], checkpoint: Path) -> None:
    said = refused("eval", checkpoint, "--split", "heldout")
    assert "error: unknown split: heldout" in said and "held-out" in said


# Data.


def test_a_folder_of_images_that_is_not_there_or_empty(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "error: no such data: gone/images" in refused("train", "--data", "gone/images", "--out", "out")
    (tmp_path / "images").mkdir()
    said = refused("train", "--data", "images", "--out", "out")
    assert "error: no images in images" in said and "folder per class" in said


def test_a_class_with_one_image(refused: Callable[..., str], images: Path, tmp_path: Path) -> None:
    _copy(images, tmp_path / "images")
    for file in sorted((tmp_path / "images" / "green").iterdir())[1:]:
        file.unlink()
    assert "error: only one image in class green" in refused("train", "--data", "images", "--out", "out")


def test_a_cut_image_is_refused_or_skipped_as_told(
    run_cli: RunCli, refused: Callable[..., str], images: Path, training: tuple[str, ...], checkpoint: Path, tmp_path: Path
) -> None:
    whole = _copy(images, tmp_path / "images") / "red" / "03.jpg"
    cut = whole.with_name("cut.jpg")
    cut.write_bytes(whole.read_bytes()[:400])
    said = refused("train", "--data", "images", *training[3:], "--epochs", 1, "--out", "out")
    assert "images/red/cut.jpg" in said and "hint: --on-bad-image skip" in said
    ran = run_cli("eval", checkpoint, "--data", tmp_path / "images", "--split", "all", "--on-bad-image", "skip", "--json")
    found = json.loads(ran.stdout)
    assert ran.returncode == 0 and found["images"] == 36 and found["skipped"] == ["red/cut.jpg"]


def test_images_of_other_classes(refused: Callable[..., str], checkpoint: Path) -> None:
    said = refused("eval", checkpoint, "--data", "digits")
    assert "error: digits has other classes than" in said and "0, 1" in said


# Places.


def test_a_folder_that_exists_is_refused_without_force(
    refused: Callable[..., str], training: tuple[str, ...], checkpoint: Path, artifact: Path
) -> None:
    target, recipe = artifact.name.rsplit("-", 1)
    before = _contents(checkpoint), _contents(artifact)
    said = refused(*training, "--out", checkpoint)
    assert f"error: already exists: {checkpoint}" in said and "--force" in said and "--resume" in said
    said = refused("export", checkpoint, "--target", target, "--recipe", recipe, "--out", artifact.parent)
    assert f"error: already exists: {artifact}" in said and "hint: --force" in said
    assert (_contents(checkpoint), _contents(artifact)) == before


@pytest.mark.parametrize("command", ["train", "export"])
def test_a_folder_that_is_not_ours_is_refused_even_with_force(
    refused: Callable[..., str], training: tuple[str, ...], checkpoint: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "tflite-fp32").mkdir()
    (tmp_path / "tflite-fp32" / "thesis.txt").write_text("years of work")
    if command == "train":
        said = refused(*training, "--out", "tflite-fp32", "--force")
    else:
        said = refused("export", checkpoint, "--target", "tflite", "--recipe", "fp32", "--out", ".", "--force")
    assert "error: not replaced, since it holds no" in said and "another --out" in said


@pytest.mark.parametrize("out", ["file", "file/run", "file/a/run"])
def test_there_is_no_place_below_a_file(refused: Callable[..., str], training: tuple[str, ...], tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("text")
    assert re.search(r"error: not a folder: (\S*/)?file\n", refused(*training, "--epochs", 1, "--out", out))
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_may_not_be_written(refused: Callable[..., str], training: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    assert "not writable" in refused(*training, "--epochs", 1, "--out", "shut/run")


def test_a_checkpoint_that_is_not_there(refused: Callable[..., str], images: Path) -> None:
    assert "error: no such checkpoint: gone" in refused("eval", "gone")
    assert "error: no checkpoint in" in refused("export", images, "--target", "all", "--out", "out")


def test_nothing_to_resume(refused: Callable[..., str], checkpoint: Path) -> None:
    assert "error: nothing to resume in gone" in refused("train", "--resume", "--out", "gone")
    assert "error: nothing left to resume" in refused("train", "--resume", "--out", checkpoint)


# Damaged checkpoints and artifacts.


def _contents(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_a_damaged_checkpoint_is_refused_by_every_command(
    refused: Callable[..., str], checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    """`test_checkpoint` has all the damages; here, that they end in one message. None of the weights is ever read."""
    run = _copy(checkpoint, tmp_path / "run")
    (run / "best" / "checkpoint.json").write_text("{")
    photo = next(images.rglob("*.jpg"))
    for arguments in (("eval", run), ("export", run, "--target", "all", "--out", "out"), ("predict", run, photo)):
        assert "best/checkpoint.json" in refused(*arguments)


def test_weights_that_are_a_pickle_are_refused(refused: Callable[..., str], checkpoint: Path, tmp_path: Path) -> None:
    weights = _copy(checkpoint, tmp_path / "run") / "best" / "model.safetensors"
    weights.write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    assert f"a pickle, and edgevit opens none: {Path('run/best/model.safetensors')}" in refused("eval", "run")


def _one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _biggest(artifact: Path) -> Path:
    return max((file for file in artifact.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)


def test_an_artifact_whose_file_was_changed(refused: Callable[..., str], artifact: Path, images: Path, tmp_path: Path) -> None:
    copy = _copy(artifact, tmp_path / "artifact")
    _one_byte(_biggest(copy))
    words = f"changed since the export: {_biggest(copy)}"
    assert words in refused("check", copy)
    assert words in refused("report", copy, "--out", "report")
    assert words in refused("predict", copy, next(images.rglob("*.jpg")))


def test_a_profile_of_another_back_end(refused: Callable[..., str], artifact: Path) -> None:
    assert "no profile by operator" in refused("profile", artifact)


def test_bench_of_a_changed_artifact_measures_nothing(refused: Callable[..., str], artifact: Path, tmp_path: Path) -> None:
    copy = _copy(artifact, tmp_path / "artifact")
    _one_byte(_biggest(copy))
    assert "changed since the export" in refused("bench", copy, "--runs", 50, "--json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.clear(), "artifact.json"),
        (lambda record: record.pop("recipe"), "artifact.json"),
        (lambda record: record.update(target="corml"), "unknown target: corml"),
        (lambda record: record.update(recipe="int7"), "int7"),
        (lambda record: record.update(labels=["red"]), "artifact.json"),
        (lambda record: record.update(file="../../etc/passwd"), "artifact.json"),
        (lambda record: record.update(checkpoint="../gone"), "--checkpoint says where it is"),
        (lambda record: record.update(checkpoint_sha256="00"), "is not the checkpoint"),
    ],
    ids=["empty", "no recipe", "target", "recipe", "labels", "file", "checkpoint", "checkpoint's hash"],
)
def test_an_artifact_whose_record_was_changed(
    refused: Callable[..., str], artifact: Path, change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    copy = _copy(artifact, tmp_path / "artifact")
    record = json.loads((copy / "artifact.json").read_text())
    record["checkpoint"] = str((artifact / record["checkpoint"]).resolve())
    change(record)
    (copy / "artifact.json").write_text(json.dumps(record))
    with contextlib.suppress(DamagedFile):
        artifacts.write(copy, artifacts.read(copy))
    assert words in refused("check", copy)


def test_what_is_no_artifact(refused: Callable[..., str], checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for path in (checkpoint, tmp_path / "gone", tmp_path / "file"):
        for command in (("bench", path), ("check", path), ("report", path, "--out", "report")):
            assert f"error: no artifact in {path}" in refused(*command)


# Images to predict.


def test_an_image_that_is_none(refused: Callable[..., str], artifact: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "cut.jpg").write_bytes(next(images.rglob("*.jpg")).read_bytes()[:400])
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "deep.png")
    assert "error: not a JPEG, PNG or WebP image: text.jpg" in refused("predict", artifact, "text.jpg")
    assert "error: cannot decode cut.jpg" in refused("predict", artifact, "cut.jpg")
    assert "not 8 bits a channel: deep.png" in refused("predict", artifact, "deep.png")
    assert "error: no such image: gone.jpg" in refused("predict", artifact, next(images.rglob("*.jpg")), "gone.jpg")


# What is promised in JSON.


def _json(ran: Ran) -> Any:
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_export_prints_what_it_leaves(exported: Ran, artifact: Path) -> None:
    (found,) = _json(exported)
    left = json.loads((artifact / "artifact.json").read_text())
    assert found.keys() >= ARTIFACT_KEYS and found["delegation"].keys() >= {"subgraphs", "inside", "outside"}
    assert {key: found[key] for key in left} == left and found.keys() - left.keys() == {"folder"}
    assert found["outcome"] == "PASS" and f"{found['target']}-{found['recipe']}" == artifact.name
    assert (artifact / found["file"]).exists() and found["images"] == 6
    assert 0 <= found["top1"] <= 1 and 0 <= found["reference_top1"] <= 1 and 0 <= found["agreement"] <= 1


def test_check_prints_the_same(run_cli: RunCli, exported: Ran, artifact: Path) -> None:
    before = _contents(artifact)
    found = _json(run_cli("check", artifact, "--json"))
    first = _json(exported)[0]
    assert found.keys() == first.keys()
    same = ARTIFACT_KEYS - {"seconds", "peak_bytes"}
    assert {key: found[key] for key in same} == {key: first[key] for key in same}
    assert _contents(artifact) == before


def test_check_of_a_moved_checkpoint(run_cli: RunCli, artifact: Path, checkpoint: Path, tmp_path: Path) -> None:
    copy = _copy(artifact, tmp_path / "deep" / "artifact")
    found = _json(run_cli("check", copy, "--checkpoint", checkpoint, "--split", "all", "--json"))
    assert found["outcome"] == "PASS" and found["images"] == 36


def test_eval_prints_a_fraction_of_one(run_cli: RunCli, checkpoint: Path) -> None:
    found = _json(run_cli("eval", checkpoint, "--json"))
    assert found["images"] == 6 and 0 <= found["low"] <= found["top1"] <= found["high"] <= 1 and found["skipped"] == []


def test_bench_prints_a_list(run_cli: RunCli, artifact: Path, tmp_path: Path) -> None:
    """An artifact needs neither its checkpoint nor its data to be measured."""
    copy = _copy(artifact, tmp_path / "artifact")
    options = ("--runs", 50, "--warmup", 2, "--threads", 1, "--most-launches", 6, "--json")
    (found,) = _json(run_cli("bench", copy, artifact.parent, *options))
    assert found["device"]["spec"] == "local" and found["device"]["cores"]
    assert [latency["artifact"] for latency in found["latencies"]] == [str(copy), str(artifact)]
    for latency in found["latencies"]:
        assert latency.keys() >= {"artifact", "where", "p50_ms", "p90_ms", "p99_ms", "runs", "threads"}
        assert latency["where"] == "host" and latency["runs"] == 54 and latency["threads"] == 1 and len(latency["launches"]) == 6
        assert 0 < latency["p50_ms"] <= latency["p90_ms"] <= latency["p99_ms"]


def test_predict_by_artifact_and_by_checkpoint(run_cli: RunCli, artifact: Path, checkpoint: Path, images: Path) -> None:
    photos = sorted(images.rglob("*.jpg"))[:2]
    answers = [_json(run_cli("predict", model, *photos, "--json", "--top", 2)) for model in (artifact, checkpoint)]
    for found in answers:
        assert [answer["image"] for answer in found] == [str(photo) for photo in photos]
        for answer in found:
            assert len(answer["labels"]) == 2 and set(answer["labels"]) <= {"red", "green", "blue"}
            assert 1 >= answer["scores"][0] >= answer["scores"][1] >= 0
    assert [a["labels"][0] for a in answers[0]] == [a["labels"][0] for a in answers[1]]


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("targets", {"name", "recipes", "missing", "needs"}),
        ("recipes", {"name", "weights", "targets"}),
        ("models", {"variant", "parameters", "multiply_adds"}),
        ("doctor", {"what", "found", "ok", "advice"}),
    ],
)
def test_what_there_is_in_json_and_as_a_table(run_cli: RunCli, command: str, keys: set[str]) -> None:
    found = _json(run_cli(command, "--json"))
    assert found and all(entry.keys() >= keys for entry in found)
    if command != "doctor":  # it takes a while
        shown = run_cli(command)
        assert shown.returncode == 0 and shown.stderr == "" and str(next(iter(found[0].values()))) in shown.stdout
