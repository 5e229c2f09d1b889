"""edgevit verify: what was made is still there, byte for byte, and still answers so; each thing that is not is found."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import artifact as artifacts
from edgevit import pipeline
from edgevit.types import Artifact, DataChoice, Looked, Outcome, TrainConfig, Verified, silent

DATA = DataChoice("digits", "held-out", "refuse")
RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = tmp_path_factory.mktemp("verify")
    source = pipeline.train(TrainConfig(data="digits", model="Pico/8", epochs=1, batch=128), root / "run", False, silent)
    return _made(source.folder, root / "export")


def _made(source: Path, out: Path) -> Artifact:
    (found,) = pipeline.export(source, [pipeline.Pair("tflite", "int8")], DATA, out, False, silent)
    if found.outcome is Outcome.SKIPPED:
        pytest.skip(found.reason)
    return found


@pytest.fixture
def copy(made: Artifact, tmp_path: Path) -> Artifact:
    """Beside the same checkpoint."""
    shutil.copytree(made.folder, tmp_path / "artifact")
    found = artifacts.read(tmp_path / "artifact")
    return artifacts.write(found.folder, dataclasses.replace(found, checkpoint=str((made.folder / made.checkpoint).resolve())))


def looked(found: Verified, what: str) -> Looked:
    return next(one for one in found.looked if one.what == what)


def verified(artifact: Artifact) -> Verified:
    return pipeline.verify(artifact.folder, None, silent)


def test_what_was_made_holds(made: Artifact) -> None:
    found = verified(made)
    assert found.holds and [one.holds for one in found.looked] == [True] * 5, found
    assert found.identity == made.identity and len(made.identity) == 64


def test_made_again_it_is_the_same(made: Artifact, tmp_path: Path) -> None:
    again = _made((made.folder / made.checkpoint).resolve(), tmp_path / "again")
    assert (again.identity, again.files) == (made.identity, made.files) and again.data_sha256 == made.data_sha256 != ""


def test_another_recipe_or_label_is_another(made: Artifact) -> None:
    others = [
        dataclasses.replace(made, labels=tuple(reversed(made.labels))),
        dataclasses.replace(made, checkpoint_sha256="0" * 64),
        dataclasses.replace(made, versions={**made.versions, "torch": "1.0"}),
        dataclasses.replace(made, files={**made.files, made.file or "": "0" * 64}),
    ]
    identities = {artifacts.identity(one, False) for one in (made, *others)}
    assert len(identities) == 5
    same = dataclasses.replace(made, seconds=1.0, top1=0.5, checkpoint="elsewhere", machine="another")
    assert artifacts.identity(same, False) == made.identity
    assert artifacts.identity(others[3], True) == artifacts.identity(made, True), "of a file that varies the hash says nothing"


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model.tflite", "golden.safetensors", "quantized.safetensors", "app/classify.py"])
def test_one_bit(copy: Artifact, name: str) -> None:
    _flip(copy.folder / name)
    found = verified(copy)
    assert not found.holds and name in looked(found, "files and record").words and len(found.looked) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["labels"].reverse(),
        lambda record: record["preprocess"].update(mean=[0.4, 0.5, 0.5]),
        lambda record: record.update(top1=1.0),
        lambda record: record["versions"].update(torch="1.0"),
    ],
    ids=["labels", "mean", "figure", "version"],
)
def test_a_record_that_was_altered(copy: Artifact, change: Callable[[dict[str, object]], None]) -> None:
    file = copy.folder / artifacts.RECORD
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
    found = verified(copy)
    assert not found.holds and "changed since the export" in looked(found, "files and record").words


def _forged(artifact: Artifact, **changes: object) -> Artifact:
    """With every hash in order."""
    files = {name: artifacts.folder.sha256(artifact.folder / name) for name in artifact.files}
    return artifacts.write(artifact.folder, dataclasses.replace(artifact, files=files, **changes))  # type: ignore[arg-type]


def test_golden_outputs_of_another_model_are_found_by_running_it(copy: Artifact) -> None:
    assert copy.config
    golden = artifacts.read_golden(copy.folder, copy.config)
    assert golden.artifact_logits is not None
    artifacts.write_golden(copy.folder, dataclasses.replace(golden, artifact_logits=golden.artifact_logits[:, ::-1].copy()))
    found = verified(_forged(copy))
    assert not found.holds and looked(found, "files and record").holds
    assert looked(found, "golden batch").holds is False and "other answers" in looked(found, "golden batch").words


def test_another_version_of_the_runtime(copy: Artifact) -> None:
    found = verified(_forged(copy, versions={**copy.versions, "torch": "1.0"}))
    assert not found.holds and "torch is" in looked(found, "versions").words and "was 1.0" in looked(found, "versions").words


def test_a_checkpoint_that_is_gone_is_unknown_and_another_is_wrong(copy: Artifact, made: Artifact, tmp_path: Path) -> None:
    gone = verified(_forged(copy, checkpoint="gone"))
    assert gone.holds and looked(gone, "checkpoint").holds is None
    shutil.copytree((made.folder / made.checkpoint).resolve(), tmp_path / "other")
    _flip(tmp_path / "other" / "model.safetensors")
    found = verified(_forged(copy, checkpoint="../other"))
    assert not found.holds and "was changed since" in looked(found, "checkpoint").words


def test_the_command(copy: Artifact, run_cli: RunCli, tmp_path: Path) -> None:
    ran = run_cli("verify", copy.folder, "--json")
    assert ran.returncode == 0, ran.stderr
    (found,) = json.loads(ran.stdout)
    assert found["holds"] and [one["holds"] for one in found["looked"]] == [True] * 5
    _flip(copy.folder / "model.tflite")
    ran = run_cli("verify", copy.folder)
    assert ran.returncode == 1 and "model.tflite" in ran.stdout and "Traceback" not in ran.stderr
    ran = run_cli("verify", tmp_path / "none")
    assert ran.returncode == 2 and "no artifact in" in ran.stderr
