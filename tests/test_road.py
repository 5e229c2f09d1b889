"""The whole road on a small model, once per target and recipe: converted, delegated, run, equal to the checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import pipeline
from edgevit.folder import written_whole
from edgevit.types import Artifact, BenchRules, Checkpoint, DataChoice, Delegation, Outcome, TrainConfig, silent
from targets.devices import Access

RECIPES = {
    "executorch": ("fp32", "int8", "int8-static", "int4-g32"), "tflite": ("fp32", "int8", "int8-static", "int4-g32"),
    "coreml": ("fp32", "fp16", "int8", "palette4"), "coreml-ios16": ("int8",), "coreml-ios18": ("int4-g32",),
    "executorch-coreml": ("int4-g32",), "tflite-npu": ("int8-static",),
}  # fmt: skip
PAIRS = [pipeline.Pair(t.name, recipe) for t in targets.all_targets() for recipe in RECIPES.get(t.name, list(t.recipes)[-1:])]
"""Every kind of recipe of these targets and the last of the others; tests/test_variants.py makes more of them, slowly."""
DATA = DataChoice("digits", "held-out", "refuse")
FEW = BenchRules(runs=50, warmup=1, most_launches=6, threads=1, images=10)
WAITING = Access(wait=300.0)
"""Other tests measure on this machine at the same time."""


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Digits, a small model, a few epochs: enough for answers that are not luck."""
    out = tmp_path_factory.mktemp("road") / "run"
    return pipeline.train(TrainConfig(data="digits", model="Pico/8", epochs=8, batch=64, lr=3e-3), out, False, silent)


@pytest.fixture(scope="session")
def exported(source: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    out = tmp_path_factory.mktemp("export")
    made = pipeline.export(source.folder, PAIRS, DATA, out, False, silent)
    return {f"{a.target}-{a.recipe}": a for a in made}


@pytest.fixture(params=[pair.name for pair in PAIRS])
def one(request: pytest.FixtureRequest, exported: dict[str, Artifact]) -> Artifact:
    artifact = exported[request.param]
    if artifact.outcome is Outcome.SKIPPED:
        pytest.skip(artifact.reason)
    return artifact


def test_the_checkpoint_learned(source: Checkpoint) -> None:
    assert pipeline.evaluate(source.folder, DATA, silent).top1 > 0.6


def test_passes_and_agrees(one: Artifact) -> None:
    """The tolerances of the target are the test; the error shows how near the float ones are."""
    if one.outcome is Outcome.UNCHECKED:
        pytest.skip(one.reason)
    assert one.outcome is Outcome.PASS, one.reason
    assert one.images == 359 and one.top1 is not None and one.agreement is not None
    assert one.relative_error is not None and 0 < one.relative_error < {"fp32": 1e-5, "int8-static": 0.2}.get(one.recipe, 0.1)
    assert one.where == ("reference" if targets.get(one.target).not_here else "host")


def test_what_nothing_here_runs_is_kept_and_has_no_figures(exported: dict[str, Artifact]) -> None:
    unchecked = [a for a in exported.values() if a.outcome is Outcome.UNCHECKED]
    if not unchecked:
        pytest.skip("everything runs here")
    for artifact in unchecked:
        assert artifact.target == "executorch-vulkan" and "VulkanBackend" in artifact.reason
        assert (artifact.top1, artifact.agreement, artifact.relative_error, artifact.images) == (None, None, None, 0)
        assert artifact.where == "none" and artifact.bytes
        again = pipeline.check(artifact.folder, None, None, "held-out", "refuse", silent)
        assert (again.outcome, again.reason) == (Outcome.UNCHECKED, artifact.reason)
        (latency,) = pipeline.bench([artifact.folder], "local", FEW, None, silent, WAITING).latencies
        assert (latency.where, latency.failed, latency.reason) == ("none", False, artifact.reason)


def test_delegated_whole(one: Artifact) -> None:
    if one.delegation.subgraphs is None:
        assert one.delegation.reason and not one.delegation.outside
        return
    assert one.delegation.subgraphs == 1
    assert one.delegation.outside == (1 if one.target.startswith("executorch") else 0)  # ExecuTorch counts the call itself
    assert one.delegation.inside and one.delegation.inside > 80


def test_holds_the_recipes_integers(one: Artifact) -> None:
    assert one.same_integers is (True if one.recipe.startswith(("int", "palette")) else None)


def test_int8_is_smaller(exported: dict[str, Artifact]) -> None:
    for target in [t.name for t in targets.all_targets() if "int8" in t.recipes]:
        small, large = (exported.get(f"{target}-{recipe}") for recipe in ("int8", "fp32"))
        if small and large and small.bytes and large.bytes:
            assert small.bytes < 0.5 * large.bytes


def test_folder_is_whole_and_reads_back(one: Artifact) -> None:
    read = artifacts.verify(artifacts.read(one.folder))
    assert dataclasses.replace(read, folder=one.folder) == one
    assert one.seconds and one.peak_bytes and one.sha256 and one.versions["torch"]
    assert one.config
    golden = artifacts.read_golden(one.folder, one.config)
    assert golden.logits.shape == (16, 10)
    if one.outcome is Outcome.UNCHECKED:
        assert golden.artifact_logits is None, "the answers of another artifact"
    else:
        assert golden.artifact_logits is not None and golden.artifact_logits.shape == (16, 10)
    assert len(set(golden.classes.tolist())) == 10


def test_runs_as_its_golden_batch_says(one: Artifact) -> None:
    """A Runner opened in this process gives what the check saw in its own."""
    if one.outcome is Outcome.UNCHECKED:
        pytest.skip(one.reason)
    if one.target.startswith("tflite"):
        pytest.importorskip("ai_edge_litert")
    assert one.config
    golden = artifacts.read_golden(one.folder, one.config)
    assert golden.artifact_logits is not None
    logits = targets.load(one.target, artifacts.model_file(one))(golden.images)
    assert np.abs(logits - golden.artifact_logits).max() <= 1e-4 * np.abs(golden.artifact_logits).max()


def test_check_again_gives_the_same(exported: dict[str, Artifact]) -> None:
    before = exported["tflite-int8"]
    after = pipeline.check(before.folder, None, None, "held-out", "refuse", silent)
    assert (after.top1, after.agreement, after.outcome) == (before.top1, before.agreement, before.outcome)
    assert before.data_sha256 and not after.data_sha256 and not after.seal, "hashes are of what was exported"


def test_a_wrong_model_fails_its_check(exported: dict[str, Artifact], source: Checkpoint, tmp_path: Path) -> None:
    """The float file of a model whose class token was changed, put into an artifact with every hash in order."""
    _, model = checkpoints.load(source.folder)
    model.head.bias.data.copy_(model.head.bias.data.roll(1) + 5 * model.head.bias.data.std())
    model.head.weight.data.copy_(model.head.weight.data.roll(1, 0))
    with written_whole(tmp_path / "other", checkpoints.RECORD) as partial:
        checkpoints.save(partial, model, source)
    (wrong,) = pipeline.export(tmp_path / "other", [pipeline.Pair("tflite", "fp32")], DATA, tmp_path / "out", False, silent)
    assert wrong.outcome is Outcome.PASS
    forged = dataclasses.replace(wrong, checkpoint=str(source.folder), checkpoint_sha256=source.weights_sha256)
    artifacts.write(wrong.folder, forged)
    checked = pipeline.check(wrong.folder, None, None, "held-out", "refuse", silent)
    assert checked.outcome is Outcome.WRONG_ANSWERS and "answers differ" in checked.reason


@pytest.mark.slow
def test_half_of_the_patches_merged(source: Checkpoint, tmp_path: Path) -> None:
    """An artifact of its own, whose file computes the merged model and whose answers are compared with the checkpoint's."""
    pairs = pipeline.merged([pipeline.Pair("tflite", "fp32")], source.config, [0.5])
    (made,) = pipeline.export(source.folder, pairs, DATA, tmp_path / "out", False, silent)
    if made.outcome is Outcome.SKIPPED:
        pytest.skip(made.reason)
    assert made.name == made.folder.name == f"tflite-fp32-{source.config.patches // 2}patches"
    assert made.merges and made.delegation == dataclasses.replace(made.delegation, subgraphs=1, outside=0)
    assert made.relative_error is not None and made.relative_error < 1e-5, "of the merged model in torch"
    assert made.agreement is not None and 0.5 < made.agreement < 1 and made.reference_top1 is not None, "of the checkpoint"
    assert "merging by products" in {rewrite.name for rewrite in made.rewrites}
    again = pipeline.check(made.folder, None, None, "held-out", "refuse", silent)
    assert (again.agreement, again.relative_error, again.tolerance) == (made.agreement, made.relative_error, made.tolerance)


def test_too_little_delegated_is_an_outcome() -> None:
    place = targets.get("executorch")
    assert pipeline.too_little(Delegation(1, 300, 1), place) == ""
    assert "62 delegated subgraphs, at most 1" in pipeline.too_little(Delegation(62, 300, 599), place)
    assert "599 nodes outside the delegate" in pipeline.too_little(Delegation(62, 300, 599), place)
    assert pipeline.too_little(Delegation(0, 0, 300), place) == "nothing was delegated"
    assert pipeline.too_little(Delegation(reason="on the device"), targets.get("coreml")) == ""
    by_rules = Delegation(None, 300, 2, "by rules: gather one and 1 more looks up by index")
    assert (
        pipeline.too_little(by_rules, targets.get("coreml-ane")) == f"2 nodes outside the delegate, at most 0: {by_rules.reason}"
    )
    assert pipeline.too_little(Delegation(None, 300, 0, "by rules: all keep to them"), targets.get("coreml-ane")) == ""


def test_latency_is_measured_where_it_can_be(exported: dict[str, Artifact]) -> None:
    folders = [a.folder for name, a in exported.items() if name.endswith("int8") and a.file]
    for latency in pipeline.bench(folders, "local", FEW, None, silent, WAITING).latencies:
        reason = targets.get(Path(latency.artifact).name.rpartition("-")[0]).not_here
        if reason:
            assert (latency.where, latency.p50_ms, latency.runs, latency.reason) == ("none", None, 0, reason)
        else:
            assert latency.where == "host" and latency.runs == 54 and latency.threads == 1 and latency.machine
            assert latency.low_ms and latency.high_ms and latency.low_ms <= latency.p50_ms <= latency.high_ms
            assert latency.answers and not latency.answers.reason and latency.answers.images == 10 and not latency.unanswered
            assert latency.p50_ms and latency.p90_ms and latency.p99_ms and 0 < latency.p50_ms <= latency.p90_ms <= latency.p99_ms


def test_report_holds_everything(exported: dict[str, Artifact], tmp_path: Path) -> None:
    made = list(exported.values())
    measured = pipeline.bench([made[0].folder], "local", FEW, None, silent, WAITING)
    found = pipeline.report(made, [measured], tmp_path, "a title", "edgevit report", False, silent)
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "report.md", "report.json"}
    assert len(found.samples) == 16 and len(found.artifacts) == len(made) and len(found.curve) == 8
    assert all(f"{a.target}-{a.recipe}" in found.samples[0].answers for a in made if a.top1 is not None)
    assert "a title" in (tmp_path / "report.html").read_text()
