"""Files for the GPU delegate: a tiny model of each kind, whole by the rules and equal to the checkpoint."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("litert_torch")

import quantize
import targets
from converters import convert
from converters.flatbuffer import nodes
from converters.gpu_rules import COUNTED, judged
from converters.order import Order
from edgevit.errors import LoadFailed
from edgevit.types import Exported, Preprocess, ViTConfig, silent
from edgevit.vit.model import ViT
from quantize.apply import apply
from targets import tflite_gpu

KINDS = ("plain", "mean", "relative", "mean of all")
"""Class token, mean, positions within attention; a hybrid with a mean, registers, tanh GELU and a representation layer."""


def noisy(shape: ViTConfig) -> ViT:
    torch.manual_seed(0)
    vit = ViT(shape).eval()
    for p in vit.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return vit.requires_grad_(False)


Made = Callable[[str, str, str], tuple[Exported, Path]]


@pytest.fixture(scope="module")
def made(variants: dict[str, ViTConfig], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The file of a kind, by a converter and a recipe, each made once."""
    found: dict[tuple[str, str, str], tuple[Exported, Path]] = {}

    def make(kind: str, converter: str, recipe: str) -> tuple[Exported, Path]:
        key = (kind, converter, recipe)
        if key not in found:
            into, chosen = tmp_path_factory.mktemp("made"), quantize.get(recipe)
            model = apply(noisy(variants[kind]), chosen, dynamic=False)
            images = torch.randn(1, 3, *variants[kind].image_size)
            size = model.config.image_size
            exported = convert(converter, Order(model, chosen, images, Preprocess(size, size)), into, silent)
            found[key] = exported, into / exported.file
        return found[key]

    return make


@pytest.mark.parametrize(("kind", "recipe"), [*((kind, "fp32") for kind in KINDS), ("plain", "fp16")])
def test_the_rules_find_nothing_and_the_answers_are_the_checkpoints(
    variants: dict[str, ViTConfig], made: Made, kind: str, recipe: str
) -> None:
    exported, file = made(kind, "tflite_gpu", recipe)
    assert (exported.delegation.outside, exported.delegation.reason) == (0, COUNTED)
    images = torch.randn(2, 3, *variants[kind].image_size)
    expected = noisy(variants[kind])(images).numpy()
    answered = targets.load("tflite-gpu", file, 1)(images.numpy())
    bound = targets.get("tflite-gpu").recipes[recipe].relative_error
    assert np.linalg.norm(answered - expected) <= bound * np.linalg.norm(expected)


def test_it_takes_images_as_an_app_has_them(variants: dict[str, ViTConfig], made: Made) -> None:
    """Channels last, and no transposition but in attention: of q, k, v and back, where there is more than one token."""
    first, *rest = nodes(made("plain", "tflite_gpu", "fp32")[1])
    assert first.operator == "CONV_2D" and first.inputs[0].shape == (1, 32, 32, 3)
    transposed = [node for node in rest if node.operator == "TRANSPOSE"]
    assert len(transposed) == 4 * variants["plain"].depth - 2 and all(len(node.inputs[0].shape) == 4 for node in transposed)


def test_halves_are_stored(made: Made) -> None:
    large, small = (made("plain", "tflite_gpu", recipe)[1] for recipe in ("fp32", "fp16"))
    stored = [node.inputs[0] for node in nodes(small) if node.operator == "DEQUANTIZE"]
    assert stored and all(operand.type == "FLOAT16" and operand.constant for operand in stored)
    assert small.stat().st_size < 0.7 * large.stat().st_size


def test_a_file_for_the_cpu_is_found_out(made: Made) -> None:
    """It has attention with heads as a batch, and maps of all tokens at once."""
    found = judged(nodes(made("plain", "tflite", "fp32")[1]))
    assert found.subgraphs is None and found.inside and found.outside and found.outside > 10
    for words in ("BATCH_MATMUL: a batch other than 1", "FULLY_CONNECTED: more than one token"):
        assert words in found.reason


def test_a_gpu_would_be_asked_for_the_same_answers(made: Made) -> None:
    """The runner of a GPU, on LiteRT's accelerator for the CPU."""
    from ai_edge_litert.compiled_model import CompiledModel

    file = made("plain", "tflite_gpu", "fp32")[1]
    images = np.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=np.float32)
    answered = tflite_gpu.AcceleratedRunner(CompiledModel.from_file(str(file)))(images)
    expected = tflite_gpu.InterpretedRunner(file, 1)(images)
    assert answered.shape == (2, 10) and np.abs(answered - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_gpu_that_takes_a_part_fails_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Partial:
        def is_fully_accelerated(self) -> bool:
            return False

    monkeypatch.setattr(tflite_gpu, "_on_gpu", lambda file: Partial())
    with pytest.raises(LoadFailed, match="only a part of the file"):
        tflite_gpu.load(Path("model.tflite"), None)


@pytest.mark.slow
def test_tensorflows_analyzer_finds_nothing_either(made: Made) -> None:
    """In a process of its own: TensorFlow does not bear LiteRT beside it."""
    pytest.importorskip("tensorflow")
    program = (
        "import sys, tensorflow as tf\ntf.lite.experimental.Analyzer.analyze(model_path=sys.argv[1], gpu_compatibility=True)"
    )
    for recipe in ("fp32", "fp16"):
        file = made("plain", "tflite_gpu", recipe)[1]
        ran = subprocess.run([sys.executable, "-c", program, file], capture_output=True, text=True, timeout=300, check=True)
        assert "Your model looks compatible with GPU delegate" in ran.stdout and "GPU COMPATIBILITY WARNING" not in ran.stdout
