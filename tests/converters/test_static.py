"""Static int8 in the files: what the back ends' own tools are told is what the recipe found, and nothing else is rounded."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

import quantize
from converters import flatbuffer, static, tflite
from converters.executorch import REWRITES
from converters.linear import statics
from converters.order import Order
from converters.rewrite.rewriting import rewritten
from edgevit.errors import EdgevitError
from edgevit.types import Preprocess, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from edgevit.vit.static import Rounding
from quantize.apply import quantized

RECIPE = quantize.get("int8-static")
Q = torch.ops.quantized_decomposed.quantize_per_tensor.default


@pytest.fixture
def images() -> Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model(images: Tensor) -> ViT:
    torch.manual_seed(0)
    vit = ViT(config("Pico/8", (32, 32), 10)).eval().requires_grad_(False)
    for p in vit.parameters():
        p += 0.05 * torch.randn_like(p)
    vit.blocks[0].mlp.fc1.weight.data[3] *= 1e-4  # type: ignore[union-attr]
    torch.nn.init.normal_(vit.head.weight)  # type: ignore[arg-type]
    quantized(vit, RECIPE, images).put(vit, False)
    vit.entering = Rounding.between(-3.0, 3.0)
    return vit


@torch.no_grad()
def test_executorch_is_told_the_ranges_and_integers_of_the_recipe(model: ViT, images: Tensor) -> None:
    authored, _ = rewritten(model, REWRITES, images[:2])
    graph = static.graph(authored)
    for image in images:
        assert torch.equal(graph(image[None]), authored(image[None]))
    rounded = {(node.args[1], node.args[2]) for node in graph.graph.nodes if node.target is Q}  # type: ignore[union-attr]
    known = {side.single for linear in statics(authored).values() for side in (linear.entering, linear.leaving)}
    assert rounded == known


def convert(model: ViT, images: Tensor, into: Path) -> Path:
    return into / tflite.convert(Order(model, RECIPE, images[:2], Preprocess((32, 32), (32, 32))), into, silent).file


@torch.no_grad()
def test_a_tflite_file_takes_and_gives_int8_as_it_says(model: ViT, images: Tensor, tmp_path: Path) -> None:
    interpreter = Interpreter(str(convert(model, images, tmp_path)))
    interpreter.allocate_tensors()
    (entering,), (leaving,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert entering["dtype"] is leaving["dtype"] is np.int8
    assert model.entering and entering["quantization"] == model.entering.single
    assert leaving["quantization"] == pytest.approx(model.head.leaving.single)  # type: ignore[union-attr]
    scale, zero = model.entering.single
    image = (images[:1].permute(0, 2, 3, 1) / scale).round() + zero
    interpreter.set_tensor(entering["index"], image.clip(-128, 127).numpy().astype(np.int8))
    interpreter.invoke()
    logits, (step, middle) = interpreter.get_tensor(leaving["index"]).astype(np.float32), leaving["quantization"]
    answered = (logits - middle) * step
    expected = model(model.entering(images[:1])).numpy()
    assert np.linalg.norm(answered - expected) < 0.1 * np.linalg.norm(expected)
    signature = interpreter.get_signature_runner()
    assert [d["dtype"] for d in signature.get_input_details().values()] == [np.int8]


@torch.no_grad()
def test_what_one_tensor_is_rounded_to_is_made_once(model: ViT, images: Tensor, tmp_path: Path) -> None:
    nodes = flatbuffer.nodes(convert(model, images, tmp_path))
    linears = [node for node in nodes if node.operator == "FULLY_CONNECTED" and node.inputs[1].type == "INT8"]
    assert len(linears) == len(statics(rewritten(model, tflite.REWRITES, images[:1])[0]))
    for node in linears:
        assert [operand.type for operand in node.inputs] == ["INT8", "INT8", "INT32"][: len(node.inputs)]
        assert node.outputs[0].type == "INT8"
    made = [node.inputs[0].index for node in nodes if node.operator == "QUANTIZE"]
    assert len(made) == len(set(made)), "q, k and v read one"


@torch.no_grad()
def test_two_linears_of_one_matrix_cannot_be_told_apart(model: ViT, images: Tensor, tmp_path: Path) -> None:
    first, second = (block.mlp for block in model.layers()[:2])
    second.fc1.weight = nn.Parameter(copy.deepcopy(first.fc1.weight.detach()), requires_grad=False)
    with pytest.raises(EdgevitError, match="have the same weights"):
        convert(model, images, tmp_path)
