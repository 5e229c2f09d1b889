"""What would leave the Neural Engine, by rules: each rule met by a program that breaks it, and by whole models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.types import Preprocess, ViTConfig, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
pytest.importorskip("torchao")

import converters  # noqa: E402
import quantize  # noqa: E402
import targets  # noqa: E402
from converters.linear import held  # noqa: E402
from converters.order import Order  # noqa: E402
from edgevit.checks import integers  # noqa: E402
from quantize import apply as quantizing  # noqa: E402
from quantize.quantized import linears  # noqa: E402
from targets.mil import ane, package  # noqa: E402

mil = pytest.importorskip("coremltools.converters.mil.mil")
mb, types = mil.Builder, mil.types

IMAGE = (1, 4, 6, 6)
KERNEL = np.ones((4, 4, 3, 3), np.float16)


def saved(path: Path, build: Callable[[Any], Any], kind: Any = types.fp16) -> Path:
    """The package of `build` over one image, after which a ReLU of four axes stands, so that nothing of it is the last."""

    @mb.program(input_specs=[mb.TensorSpec(IMAGE, dtype=kind)], opset_version=ct.target.iOS17)
    def whole(x: Any) -> Any:
        y = build(x)
        y = mb.reshape(x=y, shape=[1, -1, 1, 1]) if len(y.shape) != 4 else y
        return mb.relu(x=mb.relu(x=y))

    options = {"minimum_deployment_target": ct.target.iOS17, "compute_precision": ct.precision.FLOAT32}
    model = ct.convert(whole, convert_to="mlprogram", pass_pipeline=ct.PassPipeline.EMPTY, skip_model_load=True, **options)
    model.save(str(path / "one.mlpackage"))
    return path / "one.mlpackage"


def flat(x: Any) -> Any:
    return mb.reshape(x=x, shape=[4, 36])


def pool(size: int, stride: int) -> Callable[[Any], Any]:
    return lambda x: mb.max_pool(x=x, kernel_sizes=[size] * 2, strides=[stride] * 2, pad_type="same")


BREAKING: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "gather": ("looks up", lambda x: mb.gather(x=x, indices=np.array([1, 0], np.int32), axis=1)),
    "tile": ("on the CPU", lambda x: mb.tile(x=x, reps=[1, 2, 1, 1])),
    "topk": ("on the CPU", lambda x: mb.topk(x=x, k=1, axis=1)[0]),
    "conv": ("dilated", lambda x: mb.conv(x=x, weight=KERNEL, dilations=[2, 2], pad_type="same")),
    "max_pool": ("strides by more", pool(3, 3)),
    "reshape": ("longer than", lambda x: mb.reshape(x=mb.concat(values=[x] * 114, axis=1), shape=[1, 1, 1, -1])),
    "linear": ("1x1 convolution", lambda x: mb.linear(x=flat(x), weight=np.ones((5, 36), np.float16))),
    "matmul": ("all heads", lambda x: mb.matmul(x=x, y=x)),
    "transpose": ("four axes", lambda x: mb.transpose(x=flat(x), perm=[1, 0])),
}


@pytest.mark.parametrize("kind", BREAKING)
def test_what_breaks_a_rule_is_named(kind: str, tmp_path: Path) -> None:
    words, build = BREAKING[kind]
    found, _ = ane.offenders(saved(tmp_path, build))
    assert words in {offender.kind: offender.rule.words for offender in found}[kind]
    counted = ane.delegation(tmp_path / "one.mlpackage")
    assert counted.outside == len(found) and words in counted.reason and kind in counted.reason


def test_float32_leaves(tmp_path: Path) -> None:
    found, kept = ane.offenders(saved(tmp_path, lambda x: mb.tanh(x=x), types.fp32))
    assert [offender.kind for offender in found] == ["tanh", "relu", "relu"] and kept == 0
    assert all(offender.rule.leaves and "float32" in offender.rule.words for offender in found)


@pytest.mark.parametrize(
    "build", [pool(13, 2), lambda x: mb.conv(x=x, weight=KERNEL, pad_type="same"), lambda x: mb.softmax(x=x)]
)
def test_what_keeps_to_the_rules_is_counted(build: Callable[[Any], Any], tmp_path: Path) -> None:
    assert ane.offenders(saved(tmp_path, build)) == ((), 3)


def test_every_rule_says_where_it_comes_from() -> None:
    assert all("#" in rule.source or "/" in rule.source for rule in ane.RULES)
    assert len({rule.words for rule in ane.RULES}) == len(ane.RULES)


# Whole models.

PLAIN = dataclasses.replace(config("Pico/8", (32, 32), 10), depth=2)
EVERYTHING = dataclasses.replace(config("R8+Nano/8", (32, 32), 10), depth=2, positions="relative", gelu="tanh", registers=2)


def vit(shape: ViTConfig) -> ViT:
    torch.manual_seed(0)
    model = ViT(shape).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.requires_grad_(False)


def made(target: str, recipe: str, shape: ViTConfig, into: Path) -> tuple[Path, ViT, torch.Tensor]:
    place, model, images = targets.get(target), vit(shape), torch.randn(2, 3, *shape.image_size)
    quantizing.apply(model, quantize.get(recipe), "dynamic" in place.activations)
    order = Order(model, quantize.get(recipe), images, Preprocess(shape.image_size, shape.image_size))
    exported = converters.convert(place.converter, order, into, silent)
    return into / exported.file, model, images


def kinds(file: Path) -> list[str]:
    return [operation.op_type for operation in package.read(file).main.operations]


SHAPES = [pytest.param(PLAIN, id="plain"), pytest.param(EVERYTHING, id="everything", marks=pytest.mark.slow)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("recipe", ["fp16", "int8"])
def test_the_layout_of_the_neural_engine_keeps_to_the_rules(recipe: str, shape: ViTConfig, tmp_path: Path) -> None:
    file, model, images = made("coreml-ane", recipe, shape, tmp_path)
    counted = targets.delegation("coreml-ane", file)
    assert counted and counted.outside == 0 and counted.inside and counted.inside > 50, counted
    got, wanted = targets.load("coreml-ane", file)(images.numpy()), model(images).numpy()
    assert np.linalg.norm(got - wanted) < 0.01 * np.linalg.norm(wanted)
    stored_as = {name: found for name, linear in linears(model) if (found := held(linear))}
    wanted_in_it = {f"integers8/{name}": found.integers.numpy() for name, found in stored_as.items()}
    wanted_in_it |= {f"scale/{name}": found.scale.numpy() for name, found in stored_as.items()}
    factor = (shape.width // shape.heads) ** -0.5
    assert integers.absent(file, wanted_in_it, factor) == [] and len(stored_as) == (9 if recipe == "int8" else 0)
    stored = [kind for kind in kinds(file) if kind == "constexpr_affine_dequantize"]
    assert len(stored) == (2 * 6 + 1 if recipe == "int8" else 0), "q, k, v, proj, fc1, fc2 of each block and the head alone"
    assert kinds(file).count("layer_norm") == 5, "the norms are Core ML's own operator"


def test_the_plain_form_is_listed_with_its_offenders(tmp_path: Path) -> None:
    found, _ = ane.offenders(made("coreml", "fp16", PLAIN, tmp_path)[0])
    assert {"linear", "matmul", "layer_norm"} <= {offender.kind for offender in found}
    assert not any(offender.rule.leaves for offender in found), "it breaks the layout alone"


@pytest.mark.parametrize("shape", SHAPES)
def test_attention_is_one_operator_on_ios_18(shape: ViTConfig, tmp_path: Path) -> None:
    file, model, images = made("coreml-ios18", "fp16", shape, tmp_path)
    assert kinds(file).count("scaled_dot_product_attention") == 2 and "softmax" not in kinds(file)
    got, wanted = targets.load("coreml-ios18", file)(images.numpy()), model(images).numpy()
    assert np.linalg.norm(got - wanted) < 0.01 * np.linalg.norm(wanted)
