"""The same images in every runtime that may open a file: what an old one computes wrongly is caught, and said."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

import pytest

import targets
from edgevit import artifact as artifacts
from edgevit import folder, pipeline, stage
from edgevit.errors import UnknownName
from edgevit.jobs import runtimes
from edgevit.types import Artifact, Outcome, Ran, silent
from edgevit.vit.config import config
from tests.conftest import RunCli

RUNTIMES = {runtime.name: runtime for runtime in targets.runtimes("tflite")}
ABSENT = [library for runtime in RUNTIMES.values() for library in runtime.needs if not targets.present(library)]
if ABSENT or targets.missing(targets.get("tflite")):
    pytest.skip("not all runtimes of TFLite are installed", allow_module_level=True)


@pytest.fixture(scope="module")
def made(run_cli: RunCli, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runtimes")
    ran = run_cli("export", checkpoint, "--target", "tflite", "--target", "tflite-legacy", "--recipe", "int8", "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert "task-library" in ran.stdout and "LOAD_FAILED" in ran.stdout
    return out


def by_name(artifact: Artifact) -> dict[str, Ran]:
    return {ran.runtime: ran for ran in artifact.runtimes}


def test_an_old_runtime_refuses_what_it_would_compute_wrongly(made: Path) -> None:
    found = by_name(artifacts.read(made / "tflite-int8"))
    assert found["task-library"].outcome is Outcome.LOAD_FAILED and "version '12'" in found["task-library"].reason
    assert all(found[name].right for name in ("litert-plain", "tensorflow", "tensorflow-plain"))


def test_the_form_for_old_runtimes_is_right_in_all(made: Path) -> None:
    artifact = artifacts.read(made / "tflite-legacy-int8")
    assert artifact.outcome is Outcome.PASS and artifact.same_integers
    found = by_name(artifact)
    assert all(found[name].right and found[name].required for name in targets.get("tflite-legacy").wanted)


@pytest.mark.parametrize(("variant", "images"), [("Ti/16", 64), ("S/16", 17), ("B/16", 5), ("L/16", 4), ("H/14", 4)])
def test_a_large_model_answers_fewer_images_in_slow_runtimes(variant: str, images: int) -> None:
    assert runtimes.affordable(config(variant, (224, 224), 1000)) == images


def test_how_many_were_answered_is_told(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "affordable", lambda config: 5)
    artifact = artifacts.read(made / "tflite-int8")
    ran = runtimes.golden(artifact, RUNTIMES["litert-plain"], artifact.folder, tmp_path, silent)
    assert ran.images == 5 and ran.right


def test_garbage_of_an_old_runtime_is_caught(made: Path, tmp_path: Path) -> None:
    """The known-bad cell: without its version, the Task Library loads a file of dynamic int8, and computes nonsense."""
    artifact = _unmarked(made / "tflite-int8", tmp_path / "unmarked")
    given = {"artifact": artifact, "batch": artifact.folder, "into": tmp_path}
    job = "edgevit.jobs.runtimes:golden"
    ran = stage.run(job, Ran, runtime=RUNTIMES["task-library"], **given).value
    assert ran.outcome is Outcome.WRONG_ANSWERS and ran.relative_error and ran.relative_error > 0.5
    assert stage.run(job, Ran, runtime=RUNTIMES["litert-plain"], **given).value.right


def _unmarked(source: Path, into: Path) -> Artifact:
    """The artifact with its Linears in the version that stock tools write."""
    from ai_edge_litert.tools import flatbuffer_utils

    from converters import flatbuffer

    shutil.copytree(source, into)
    file = into / "model.tflite"
    with zipfile.ZipFile(file) as archive:
        within = {name: archive.read(name) for name in archive.namelist()}
    model = flatbuffer_utils.read_model(str(file))
    known = flatbuffer.names(flatbuffer.schema.BuiltinOperator)
    for code in model.operatorCodes:
        if known[max(code.builtinCode, code.deprecatedBuiltinCode)] == "FULLY_CONNECTED":
            code.version = 5
    flatbuffer_utils.write_model(model, str(file))
    with zipfile.ZipFile(file, "a") as archive:
        for name, content in within.items():
            archive.writestr(name, content)
    artifact = dataclasses.replace(artifacts.read(into), folder=into)
    return dataclasses.replace(artifact, files=folder.hashes(into, leave_out=(artifacts.RECORD,)))


@pytest.mark.slow
def test_what_is_required_fails_the_export(run_cli: RunCli, checkpoint: Path, tmp_path: Path) -> None:
    options = ("--target", "tflite", "--recipe", "int8", "--runtimes", "task-library", "--out", tmp_path / "out", "--json")
    ran = run_cli("export", checkpoint, *options)
    assert ran.returncode == 1
    (artifact,) = json.loads(ran.stdout)
    assert artifact["outcome"] == "LOAD_FAILED" and artifact["reason"].startswith("in task-library: LOAD_FAILED")


def test_the_same_images_in_every_runtime(run_cli: RunCli, made: Path) -> None:
    ran = run_cli("runtimes", made / "tflite-legacy-int8", "--images", 3, "--json")
    assert ran.returncode == 0, ran.stderr
    (artifact,) = json.loads(ran.stdout)
    found = {one["runtime"]: one for one in artifact["runtimes"]}
    assert list(found) == list(RUNTIMES) and {one["images"] for one in found.values()} == {3, 0}
    assert found["gpu-analyzer"]["images"] == 0 and all(one["version"] for one in found.values())


def test_an_unknown_runtime_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="task-libary"):
        pipeline.required(["task-libary"])
