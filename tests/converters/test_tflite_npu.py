"""TFLite in integers alone: no operator reads or writes floats, and the answers stay those of the model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from torch import Tensor

import converters
import quantize
import targets
from converters import flatbuffer, integer_graph, operator_versions, tflite, tflite_npu
from converters.order import Order
from edgevit.errors import BadInput, EdgevitError
from edgevit.types import Exported, Preprocess, QuantRecipe, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from edgevit.vit.static import Rounding
from quantize.apply import quantized

RECIPE = quantize.get("int8-static")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(1)).clamp(-3, 3)


@pytest.fixture(scope="module", params=["Pico/8", pytest.param("R8+Nano/8", marks=pytest.mark.slow), "all"])
def model(request: pytest.FixtureRequest, images: Tensor) -> ViT:
    torch.manual_seed(0)
    if request.param == "all":  # a Linear of float weights, and a tanh
        shape = dataclasses.replace(config("Pico/8", (32, 32), 10), depth=2, positions="relative", representation=24)
    else:
        shape = config(request.param, (32, 32), 10)
    vit = ViT(shape).eval().requires_grad_(False)
    for p in vit.parameters():
        p += 0.05 * torch.randn_like(p)
    torch.nn.init.normal_(vit.head.weight)  # type: ignore[arg-type]
    quantized(vit, RECIPE, images).put(vit, False)
    vit.entering = Rounding.between(-3.0, 3.0)
    return vit


def ordered(vit: ViT, images: Tensor, seen: Tensor | None = None, recipe: QuantRecipe = RECIPE) -> Order:
    size = vit.config.image_size
    return Order(vit, recipe, images[:2], Preprocess(size, size), seen=seen)


@pytest.fixture(scope="module")
def made(model: ViT, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, Path]:
    into = tmp_path_factory.mktemp("npu")
    exported = converters.convert("tflite-npu", ordered(model, images, images), into, silent)
    return exported, into / exported.file


@torch.no_grad()
def test_every_operator_computes_in_integers(made: tuple[Exported, Path], model: ViT, images: Tensor) -> None:
    exported, file = made
    types = Counter(t.type for node in flatbuffer.nodes(file) for t in (*node.inputs, *node.outputs))
    assert set(types) <= {"INT8", "INT16", "INT32"} and types["INT16"]
    assert exported.delegation.outside == 0 and exported.delegation.inside == len(flatbuffer.nodes(file))
    answered = targets.load("tflite-npu", file, 1)(images.numpy())
    assert model.entering
    expected = model(model.entering(images)).numpy()
    assert np.linalg.norm(answered - expected) < 0.2 * np.linalg.norm(expected)


def test_the_integers_of_the_linears_are_those_of_the_target_with_floats(
    made: tuple[Exported, Path], model: ViT, images: Tensor, tmp_path: Path
) -> None:
    other = tmp_path / tflite.convert(ordered(model, images), tmp_path, silent).file
    there, wanted = _matrices(made[1]), _matrices(other)
    assert not wanted - there and wanted.total() > 10


def _matrices(file: Path) -> Counter[bytes]:
    """The int8 weights of its Linears."""
    model = flatbuffer_utils.read_model(str(file))
    (graph,) = model.subgraphs
    linears = [o for o in graph.operators if flatbuffer.builtin(model, o) == schema.BuiltinOperator.FULLY_CONNECTED]
    weights = [graph.tensors[o.inputs[1]] for o in linears]
    return Counter(bytes(model.buffers[w.buffer].data) for w in weights if w.type == schema.TensorType.INT8)


def test_what_is_still_in_floats_is_counted_and_named(model: ViT, images: Tensor, tmp_path: Path) -> None:
    counted = tflite_npu.counted(tmp_path / tflite.convert(ordered(model, images), tmp_path, silent).file)
    assert counted.outside and counted.inside and "RSQRT" in counted.reason


def test_an_operator_without_integers_is_named(
    model: ViT, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integer_graph, "SUMS", ("ADD", "SUB", "MUL", "MEAN"))
    with pytest.raises(EdgevitError, match="TFLite's RSQRT has no integers here"):
        converters.convert("tflite-npu", ordered(model, images, images), tmp_path, silent)


def test_without_images_there_are_no_ranges(model: ViT, images: Tensor, tmp_path: Path) -> None:
    with pytest.raises(EdgevitError, match="has no ranges"):
        converters.convert("tflite-npu", ordered(model, images), tmp_path, silent)


def test_an_older_runtime_is_told_what_it_lacks(made: tuple[Exported, Path]) -> None:
    versions = _versions(made[1])
    assert versions["ADD"] == 3 and versions["RSQRT"] == 3 and versions["BATCH_MATMUL"] == 2 and versions["QUANTIZE"] == 2
    assert versions["FULLY_CONNECTED"] >= 4


def test_scales_for_each_channel_behind_floats_are_a_version_of_their_own(images: Tensor, tmp_path: Path) -> None:
    """The runtime of tflite-support reads but the first of them, and computes garbage."""
    vit = ViT(config("Pico/8", (32, 32), 10)).eval()
    recipe = quantize.get("int8")
    quantized(vit, recipe, None).put(vit, True)
    file = tmp_path / tflite.convert(ordered(vit, images, recipe=recipe), tmp_path, silent).file
    assert _versions(file)["FULLY_CONNECTED"] == operator_versions.PER_CHANNEL
    model = flatbuffer_utils.read_model(str(file))
    (wanted,) = (model.buffers[m.buffer].data for m in model.metadata if m.name == operator_versions.LEAST)
    assert bytes(wanted).rstrip(b"\0") == b"2.17.0"
    Interpreter(str(file)).allocate_tensors()


def _versions(file: Path) -> dict[str, int]:
    model = flatbuffer_utils.read_model(str(file))
    known = flatbuffer.names(schema.BuiltinOperator)
    return {known[max(code.builtinCode, code.deprecatedBuiltinCode)]: code.version for code in model.operatorCodes}


@pytest.mark.parametrize("recipe", ["int8", "int8-weights", "fp32", "int4"])
def test_it_takes_no_recipe_with_floats(recipe: str) -> None:
    with pytest.raises(BadInput, match=f"tflite-npu does not hold {recipe}") as caught:
        targets.require_recipe(targets.get("tflite-npu"), quantize.get(recipe))
    assert "the nearest that it holds: int8-static" in caught.value.hint
