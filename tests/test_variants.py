"""Every option of the model through every converter: minutes, so `make test-slow`; `tests/converters` holds the rewrites."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import quantize
import targets
from edgevit import checkpoint as checkpoints
from edgevit import folder, pipeline
from edgevit.types import Checkpoint, DataChoice, Outcome, Preprocess, TrainConfig, ViTConfig, silent
from edgevit.vit.model import ViT

RECIPES = {
    "executorch": ("fp32", "int8", "int8-static", "int4-g32"), "executorch-coreml": ("fp32", "int4-g32"),
    "tflite": ("fp32", "int8", "int8-static", "int4-g32"), "coreml": ("fp32", "fp16", "int8", "palette6"),
    "coreml-ane": ("fp16", "int8"), "coreml-ios16": ("fp16", "int8"), "coreml-ios18": ("fp32", "int4-g32"),
    "tflite-npu": ("int8-static",),
}  # fmt: skip
PAIRS = [pipeline.Pair(t.name, recipe) for t in targets.all_targets() for recipe in RECIPES.get(t.name, list(t.recipes)[-1:])]
WHOLE = {"executorch": 1, "executorch-coreml": 1, "executorch-vulkan": 1, "tflite": 0, "tflite-gpu": 0, "tflite-legacy": 0}
"""Nodes outside the delegate of a target that counts them: ExecuTorch counts the call itself."""
DATA = DataChoice("digits", "held-out", "refuse")


@pytest.fixture
def source(variant: ViTConfig, tmp_path: Path) -> Path:
    """Random weights, large enough that the answers differ from image to image."""
    torch.manual_seed(0)
    model = ViT(variant).eval()
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    for head in model.heads():
        torch.nn.init.normal_(head.weight)
    record = Checkpoint(
        variant, Preprocess(variant.image_size, variant.image_size), tuple("0123456789"), {}, "", {}, TrainConfig("digits")
    )
    with folder.written_whole(tmp_path / "checkpoint", checkpoints.RECORD) as partial:
        checkpoints.save(partial, model, record)
    return tmp_path / "checkpoint"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_exports_and_passes(variant: ViTConfig, source: Path, tmp_path: Path) -> None:
    """Logits within the tolerance of target and recipe, delegated whole, integers kept. Answers of random weights are near ties,

    so agreement is what trained models are for.
    """
    fit = [pair for pair in PAIRS if not quantize.misfit(pair.quantization, variant)]
    pairs = [pair for pair in fit if targets.get(pair.target).merges or not variant.merges]
    made = [a for a in pipeline.export(source, pairs, DATA, tmp_path / "out", False, silent) if a.outcome is not Outcome.SKIPPED]
    if not made:
        pytest.skip("no back end is installed")
    wrong = {}
    for a in made:
        name = a.name
        assert a.outcome in (Outcome.PASS, Outcome.WRONG_ANSWERS, Outcome.UNCHECKED), f"{name}: {a.outcome}: {a.reason}"
        assert a.tolerance and (a.relative_error is not None or a.outcome is Outcome.UNCHECKED)
        if (a.relative_error is not None and not a.relative_error <= a.tolerance.relative_error) or a.same_integers is False:
            wrong[name] = a.reason or "integers"
        if a.delegation.subgraphs is not None and (a.delegation.subgraphs, a.delegation.outside) != (1, WHOLE[a.target]):
            wrong[name] = f"{a.delegation}"
    assert not wrong
