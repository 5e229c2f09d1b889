"""edgevit bisect: one matrix of a file is damaged, and the block and the operator that read it are named; nothing else is."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import artifact as artifacts
from edgevit import folder, pipeline
from edgevit.types import Artifact, Bisected, DataChoice, Outcome, TrainConfig, silent

DATA = DataChoice("digits", "held-out", "refuse")
RunCli = Callable[..., subprocess.CompletedProcess[str]]
Made = Callable[[str, str], Artifact]
STAGES = ["embedding", "tokens", "block 1", "block 2", "block 3", "block 4", "norm", "logits"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = TrainConfig(data="digits", model="Pico/8", epochs=1, batch=128)
    return pipeline.train(settings, tmp_path_factory.mktemp("bisect") / "run", False, silent).folder


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The artifact of a target and recipe, exported once."""
    found: dict[tuple[str, str], Artifact] = {}
    out = tmp_path_factory.mktemp("export")

    def export(target: str, recipe: str) -> Artifact:
        if (target, recipe) not in found:
            pair = pipeline.Pair(target, recipe)
            (found[target, recipe],) = pipeline.export(source, [pair], DATA, out, False, silent)
        if found[target, recipe].outcome is Outcome.SKIPPED:
            pytest.skip(found[target, recipe].reason)
        return found[target, recipe]

    return export


def _damaged(artifact: Artifact, layer: str, into: Path) -> Path:
    """A copy whose file has the integers of one Linear with the other sign, and a record that agrees with it."""
    import safetensors.numpy

    shutil.copytree(artifact.folder, into)
    integers = safetensors.numpy.load_file(into / artifacts.QUANTIZED)[f"integers8/{layer}"]
    holding = []
    for file in (path for path in into.rglob("*") if path.is_file() and path.name != artifacts.QUANTIZED):
        if (content := file.read_bytes()).count(integers.tobytes()) == 1:
            file.write_bytes(content.replace(integers.tobytes(), (-integers).tobytes()))
            holding.append(file)
    assert len(holding) == 1
    checkpoint = str((artifact.folder / artifact.checkpoint).resolve())
    files = folder.hashes(into, leave_out=(artifacts.RECORD,))
    artifacts.write(into, dataclasses.replace(artifact, files=files, checkpoint=checkpoint))
    return into


def _bisect(path: Path) -> Bisected:
    return pipeline.bisect(path, None, None, False, silent)


@pytest.mark.parametrize(
    ("target", "layer", "block", "kind", "outputs"),
    [
        pytest.param("coreml", "blocks.2.attn.qkv", 3, "linear", 192, marks=pytest.mark.slow),
        pytest.param("tflite", "blocks.0.mlp.fc1", 1, "FULLY_CONNECTED", 128, marks=pytest.mark.slow),
        pytest.param("tflite", "blocks.1.mlp.fc2", 2, "FULLY_CONNECTED", 64, marks=pytest.mark.slow),
        pytest.param("coreml", "blocks.1.mlp.fc2", 2, "linear", 64, marks=pytest.mark.slow),
        pytest.param("coreml-ane", "blocks.1.attn.proj", 2, "conv", 64, marks=pytest.mark.slow),
        pytest.param("executorch-coreml", "blocks.0.mlp.fc1", 1, "linear", 128, marks=pytest.mark.slow),
    ],
)
def test_the_damaged_matrix_is_named(
    made: Made, tmp_path: Path, target: str, layer: str, block: int, kind: str, outputs: int
) -> None:
    (side,) = _bisect(_damaged(made(target, "int8"), layer, tmp_path / "damaged")).sides
    assert side.parts == f"block {block}" and side.operator, side
    assert side.operator.kind == kind and outputs in side.operator.shape and side.operator.error > 0.5
    if target == "tflite":
        assert f"Encoder_{block - 1}/" in side.operator.name and layer.rpartition(".")[2] in side.operator.name
    guilty = [stage.name for stage in side.stages if stage.own is not None and not stage.own <= side.own_tolerance]
    assert guilty == [f"block {block}"], "what follows is wrong and innocent"
    assert side.stages[-1].whole is not None and side.stages[-1].whole > 100 * side.stages[-1].own  # type: ignore[operator]


@pytest.mark.slow
def test_what_was_made_agrees(made: Made, run_cli: RunCli, tmp_path: Path) -> None:
    """Two of other formats, layouts and precisions: each with its twin, and both with each other."""
    one, other = made("tflite", "int8"), made("coreml", "int8")
    ran = run_cli("bisect", one.folder, other.folder, "--picture", tmp_path / "errors.png", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["parts"] == "" and [side["operator"] for side in found["sides"]] == [None, None]
    for side in found["sides"]:
        assert [stage["name"] for stage in side["stages"]] == STAGES
        assert all(0 <= stage["own"] < side["own_tolerance"] and stage["whole"] < side["tolerance"] for stage in side["stages"])
    apart = dict(zip(STAGES, found["apart"], strict=True))
    assert apart["norm"] is None and all(0 < far < 0.05 for name, far in apart.items() if name != "norm")
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_it_is_said_in_words_and_by_exit_code(made: Made, run_cli: RunCli, source: Path, tmp_path: Path) -> None:
    """In the last block, which carries on one token alone: many tensors have its shape."""
    broken = _damaged(made("tflite", "int8"), "blocks.3.mlp.fc2", tmp_path / "broken")
    ran = run_cli("bisect", broken, source)
    assert ran.returncode == 1, ran.stderr
    lines = ran.stdout.splitlines()
    assert "tflite-int8 parts from its twin at block 4" in lines
    assert any("FULLY_CONNECTED" in line and "Encoder_3/" in line and "Linear_fc2" in line for line in lines)
    assert "bit for bit" in ran.stderr and "XNNPACK" in ran.stderr


@pytest.mark.slow
def test_executorch_says_what_it_cannot_see(made: Made, tmp_path: Path) -> None:
    """The stages are those of the same model lowered once more: innocent, while the damaged file's own logits are off."""
    whole = made("executorch", "int8")
    (side,) = _bisect(whole.folder).sides
    assert side.parts == "" and [stage.name for stage in side.stages if stage.own is None] == ["norm"]
    assert any("bit for bit" in note for note in side.notes)
    (side,) = _bisect(_damaged(whole, "blocks.1.mlp.fc1", tmp_path / "damaged")).sides
    assert side.parts == "logits" and side.operator is None
    assert all(stage.own <= side.own_tolerance for stage in side.stages if stage.own is not None)
    assert any("other logits than the file" in note for note in side.notes)
    assert any("shows no operators" in note for note in side.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "recipe"),
    [
        ("tflite", "fp32"),
        ("tflite", "int8-static"),
        ("tflite-npu", "int8-static"),
        ("tflite-gpu", "fp32"),
        ("coreml-ios18", "fp16"),
        ("coreml-ane", "fp16"),
        ("executorch", "int8-static"),
    ],
)
def test_every_form_agrees(made: Made, target: str, recipe: str) -> None:
    (side,) = _bisect(made(target, recipe).folder).sides
    assert side.parts == "", side
    assert {stage.name for stage in side.stages if stage.own is None} <= ({"norm"} if target == "executorch" else set())


def test_misuse(made: Made, run_cli: RunCli, source: Path, tmp_path: Path) -> None:
    good = made("tflite", "int8")
    (tmp_path / "there.png").write_bytes(b"mine")
    shutil.copytree(good.folder, tmp_path / "other")
    artifacts.write(tmp_path / "other", dataclasses.replace(artifacts.read(tmp_path / "other"), checkpoint_sha256="0" * 64))
    for arguments, words in (
        ((source,), "no artifact in"),
        ((good.folder, tmp_path / "nowhere"), "no such checkpoint"),
        ((good.folder, tmp_path / "other"), "not of one checkpoint"),
        ((good.folder, "--picture", tmp_path / "there.png"), "already exists"),
        ((good.folder, "--picture", tmp_path / "no" / "errors.png"), "no folder"),
    ):
        ran = run_cli("bisect", *arguments)
        assert ran.returncode == 2 and words in ran.stderr, ran.stderr
    assert (tmp_path / "there.png").read_bytes() == b"mine"
