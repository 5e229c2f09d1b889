"""ExecuTorch's other delegates take a tiny ViT whole, and what they wrote is opened, refused or left unrun as it should be."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import quantize
import targets
from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import folder, stage
from edgevit.artifact import Golden
from edgevit.errors import DamagedFile, NoRuntime
from edgevit.jobs.check import check
from edgevit.types import Artifact, Checkpoint, DataChoice, Exported, Input, Outcome, Preprocess, TrainConfig, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize import apply as quantizing

SHAPE = config("Pico/8", (16, 16), 5)
PREPROCESS, LABELS = Preprocess((16, 16), (16, 16)), tuple("abcde")
FORMS = ("fp32", "fp16", "int8", "int4-g32")
RECIPES = {
    t.name: [pytest.param(r, marks=() if r == "fp32" else pytest.mark.slow) for r in FORMS if r in t.recipes]
    for t in targets.all_targets()
    if t.name.startswith("executorch-")
}
PAIRS = [pytest.param(name, *r.values, marks=r.marks) for name, recipes in RECIPES.items() for r in recipes]
Convert = Callable[[str, str], tuple[Exported, Path]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights that leave nothing at zero or one, and beside it the golden batch and its answers."""
    torch.manual_seed(0)
    vit = ViT(SHAPE).eval().requires_grad_(False)
    for p in vit.parameters():
        p.add_(0.1 * torch.randn_like(p))
    path = tmp_path_factory.mktemp("source")
    record = Checkpoint(SHAPE, PREPROCESS, LABELS, {}, "", {}, TrainConfig("digits"))
    with folder.written_whole(path / "checkpoint", checkpoints.RECORD) as partial:
        checkpoints.save(partial, vit, record)
    images = torch.randn(4, 3, 16, 16)
    artifacts.write_golden(path, Golden(images.numpy(), np.arange(4), vit(images).numpy()))
    return path


def quantized(source: Path, recipe: str, into: Path) -> Path | None:
    """What `recipe` makes of the checkpoint, as a file in `into`; None where it quantizes nothing."""
    if not quantize.get(recipe).quantizes:
        return None
    quantizing.quantized(checkpoints.load(source / "checkpoint")[1], quantize.get(recipe), torch.randn(8, 3, 16, 16)).save(
        into / artifacts.QUANTIZED
    )
    return into / artifacts.QUANTIZED


@pytest.fixture(scope="module")
def convert(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Each pair once, in a child of its own, as an export does it."""
    done: dict[tuple[str, str], tuple[Exported, Path]] = {}

    def converted(target: str, recipe: str) -> tuple[Exported, Path]:
        if absent := targets.missing(targets.get(target)):
            pytest.skip(f"not installed: {absent}")
        if (target, recipe) not in done:
            into = tmp_path_factory.mktemp("converted")
            artifact = Artifact(target, recipe, Outcome.PASS, quantization=quantize.get(recipe), config=SHAPE)
            where = {"checkpoint": source / "checkpoint", "quantized": quantized(source, recipe, into), "references": source}
            where |= {"artifact": artifact, "into": into}
            made = stage.run("edgevit.jobs.export:convert", Exported, **where).value
            done[target, recipe] = made, into / made.file
        return done[target, recipe]

    return converted


@pytest.mark.parametrize(("target", "recipe"), PAIRS)
def test_the_delegate_takes_it_whole(convert: Convert, target: str, recipe: str) -> None:
    delegation = convert(target, recipe)[0].delegation
    assert (delegation.subgraphs, delegation.outside) == (1, 1), "one delegate, and outside of it its call"
    assert delegation.inside and delegation.inside > 80


@pytest.mark.parametrize("recipe", RECIPES["executorch-coreml"])
def test_the_package_within_the_program_gives_the_answers(convert: Convert, source: Path, recipe: str) -> None:
    if targets.get("executorch-coreml").not_here == "":
        pytest.skip("Core ML itself runs here")
    golden = artifacts.read_golden(source, SHAPE)
    runner = targets.load("executorch-coreml", convert("executorch-coreml", recipe)[1])
    error = np.linalg.norm(runner(golden.images) - golden.logits) / np.linalg.norm(golden.logits)
    bounds = {"fp32": (1e-9, 1e-5), "fp16": (1e-5, 5e-3), "int8": (1e-4, 5e-2), "int4-g32": (1e-2, 0.5)}[recipe]
    assert runner.where == "reference" and bounds[0] < error < bounds[1]


@pytest.mark.parametrize(("target", "delegate"), [("executorch-coreml", "CoreMLBackend"), ("executorch-vulkan", "VulkanBackend")])
def test_it_says_what_it_is_where_nothing_runs_it(convert: Convert, target: str, delegate: str) -> None:
    file = convert(target, "fp32")[1]
    found = targets.described(target, file)
    assert found and (found.labels, found.preprocess, found.input) == (LABELS, PREPROCESS, Input.TENSOR)
    assert file.with_name("operators.yaml").read_text().startswith(f"# delegates to link besides: {delegate}\n")


def test_a_record_of_other_labels_is_a_wrong_answer(convert: Convert, source: Path, tmp_path: Path) -> None:
    shutil.copyfile(source / artifacts.GOLDEN, tmp_path / artifacts.GOLDEN)
    exported, file = convert("executorch-vulkan", "fp32")
    artifact = Artifact(
        "executorch-vulkan", "fp32", Outcome.PASS, quantization=quantize.get("fp32"), config=SHAPE, file=exported.file,
        folder=file.parent, labels=LABELS[::-1], preprocess=PREPROCESS,
    )  # fmt: skip
    result = check(artifact, tmp_path, DataChoice("digits", "held-out", "refuse"), source / "checkpoint", tmp_path, silent)
    assert result.outcome is Outcome.WRONG_ANSWERS and "class 0 is 'a', and not 'e'" in result.reason


@pytest.mark.slow
def test_half_precision_is_half_as_large(convert: Convert) -> None:
    for target in ("executorch-coreml", "executorch-vulkan"):
        single, half = (convert(target, recipe)[1].stat().st_size for recipe in ("fp32", "fp16"))
        assert half < 0.7 * single


@pytest.mark.parametrize("target", ["executorch-coreml", "executorch-vulkan"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_cut_program_is_refused(convert: Convert, target: str, kept: float, tmp_path: Path) -> None:
    content = convert(target, "fp32")[1].read_bytes()
    (tmp_path / "cut.pte").write_bytes(content[: int(kept * len(content))])
    with pytest.raises((DamagedFile, RuntimeError)) as caught:
        targets.load(target, tmp_path / "cut.pte")
    assert not isinstance(caught.value, NoRuntime)


def test_another_delegates_program_is_not_taken_for_core_ml(convert: Convert) -> None:
    if targets.get("executorch-coreml").not_here == "":
        pytest.skip("Core ML itself runs here")
    with pytest.raises(NoRuntime, match="the delegates VulkanBackend"):
        targets.load("executorch-coreml", convert("executorch-vulkan", "fp32")[1])


def without_vulkan() -> bool:
    runtime = pytest.importorskip("executorch.extension.pybindings._portable_lib")
    return "VulkanBackend" not in runtime._get_registered_backend_names()


def test_what_nothing_here_runs_is_unchecked(convert: Convert, source: Path, tmp_path: Path) -> None:
    """Its record gets the reason and no figure, and the golden batch no answers, not even those of another artifact."""
    if not without_vulkan():
        pytest.skip("this ExecuTorch runs Vulkan")
    exported, file = convert("executorch-vulkan", "fp32")
    golden = artifacts.read_golden(source, SHAPE)
    artifacts.write_golden(tmp_path, dataclasses.replace(golden, artifact_logits=golden.logits))
    made = quantize.get("fp32")
    artifact = Artifact(
        "executorch-vulkan", "fp32", Outcome.PASS, quantization=made, config=SHAPE, file=exported.file, folder=file.parent,
        labels=LABELS, preprocess=PREPROCESS,
    )  # fmt: skip
    result = check(artifact, tmp_path, DataChoice("digits", "held-out", "refuse"), source / "checkpoint", tmp_path, silent)
    assert (result.outcome, result.where, result.images) == (Outcome.UNCHECKED, "none", 0)
    assert "built without VulkanBackend" in result.reason
    assert (result.top1, result.agreement, result.relative_error) == (None, None, None)
    assert artifacts.read_golden(tmp_path, SHAPE).artifact_logits is None


def test_other_integers_in_a_file_that_nothing_runs_are_wrong_answers(convert: Convert, source: Path, tmp_path: Path) -> None:
    if not without_vulkan():
        pytest.skip("this ExecuTorch runs Vulkan")
    shutil.copyfile(source / artifacts.GOLDEN, tmp_path / artifacts.GOLDEN)
    exported, file = convert("executorch-vulkan", "fp32")
    quantized(source, "int8", file.parent)
    made = quantize.get("int8")
    artifact = Artifact(
        "executorch-vulkan", "int8", Outcome.PASS, quantization=made, config=SHAPE, file=exported.file, folder=file.parent,
        labels=LABELS, preprocess=PREPROCESS,
    )  # fmt: skip
    result = check(artifact, tmp_path, DataChoice("digits", "held-out", "refuse"), source / "checkpoint", tmp_path, silent)
    assert result.outcome is Outcome.WRONG_ANSWERS and "are not the recipe's: " in result.reason


def test_the_tanh_form_is_on_record_where_vulkan_computes_nothing_else(convert: Convert) -> None:
    last = convert("executorch-vulkan", "fp32")[0].rewrites[-1]
    assert (last.name, last.exact, last.parts) == ("GELU in its tanh form", False, SHAPE.depth)
    assert 1e-7 < last.float32 < 0.01
