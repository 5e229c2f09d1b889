"""The evaluator knows every operation that an export can hold: of the variants here, and of a stock ViT by coremltools alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.types import Preprocess, ViTConfig, silent
from edgevit.vit.model import ViT

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
pytest.importorskip("torchao")

import converters  # noqa: E402
import quantize  # noqa: E402
import targets  # noqa: E402
from converters.order import Order  # noqa: E402
from targets.mil import package  # noqa: E402
from targets.mil.evaluate import Evaluator  # noqa: E402
from targets.mil.ops import OPERATIONS  # noqa: E402

TARGETS = [target.name for target in targets.all_targets() if target.suffix == ".mlpackage"]
RICHEST = {"coreml": "merged of all", "coreml-ane": "distilled of all", "coreml-ios16": "mean of all", "coreml-ios18": "hybrid"}
"""One variant for each target that has much of what its operators come from; all of them are slow."""

VERSIONS = {"coreml": 8, "coreml-ane": 8, "coreml-ios16": 7, "coreml-ios18": 9}
"""Of the specification, which each system reads up to its own: iOS 16 has 7."""


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    gc.freeze()
    yield
    gc.unfreeze()


def unknown(file: Path) -> set[str]:
    return {operation.op_type for operation in package.read(file).main.operations} - {"const", *OPERATIONS}


def hold(target: str, shape: ViTConfig, into: Path) -> None:
    torch.manual_seed(0)
    place, images = targets.get(target), torch.randn(2, 3, *shape.image_size)
    model = ViT(shape).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    order = Order(model, quantize.get("fp16"), images, Preprocess(shape.image_size, shape.image_size))
    file = into / converters.convert(place.converter, order, into, silent).file
    assert unknown(file) == set()
    assert package.read(file).spec.specificationVersion == VERSIONS[target]
    answered, wanted = targets.load(target, file)(images.numpy()), model(images).numpy()
    assert np.linalg.norm(answered - wanted) < 0.02 * np.linalg.norm(wanted)


@pytest.mark.parametrize("target", ["coreml", "coreml-ane"])
def test_every_operation_of_an_export_is_known(target: str, variants: dict[str, ViTConfig], tmp_path: Path) -> None:
    hold(target, variants[RICHEST[target]], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_every_operation_of_every_variant_is_known(target: str, variant: ViTConfig, tmp_path: Path) -> None:
    if variant.merges and not targets.get(target).merges:
        pytest.skip("it merges no patches")
    hold(target, variant, tmp_path)


class Logits(torch.nn.Module):
    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.vit(images).logits
        return logits


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("system", ["iOS16", "iOS17", "iOS18"])
def test_a_stock_conversion_is_evaluated(system: str, attention: str, tmp_path: Path) -> None:
    """Hugging Face's ViT, as coremltools converts it without any help: exported, or traced where attention is spelt out."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    shape = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8,
        num_labels=7, attn_implementation=attention,
    )  # fmt: skip
    model = Logits(transformers.ViTForImageClassification(shape)).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    images = torch.randn(2, 3, 32, 32)
    if attention == "sdpa":
        stock = torch.export.export(model, (images[:1],), strict=False).run_decompositions({})
        given = None
    else:  # exported, it holds a where that coremltools does not know
        stock, given = torch.jit.trace(model, images[:1]), [ct.TensorType(shape=images[:1].shape)]
    whole = ct.convert(stock, inputs=given, minimum_deployment_target=ct.target[system], skip_model_load=True)
    whole.save(str(tmp_path / "stock.mlpackage"))
    assert unknown(tmp_path / "stock.mlpackage") == set()
    answered, wanted = Evaluator(tmp_path / "stock.mlpackage")(images.numpy()), model(images).numpy()
    assert np.linalg.norm(answered - wanted) < 0.02 * np.linalg.norm(wanted)
