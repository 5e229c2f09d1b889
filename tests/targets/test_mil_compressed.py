"""Every way in which coremltools compresses weights, each weight made dense as coremltools itself does it."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
packages = pytest.importorskip("targets.mil.package")
folded = pytest.importorskip("targets.mil.program").folded
evaluate = pytest.importorskip("targets.mil.evaluate")
optimize = pytest.importorskip("coremltools.optimize.coreml")
mil = pytest.importorskip("coremltools.converters.mil.mil")
mb, types = mil.Builder, mil.types
IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18

RANDOM = np.random.default_rng(0)
KERNEL, ROWS, HEAD = (RANDOM.normal(size=size).astype(np.float32) for size in ((32, 3, 4, 4), (48, 32), (8, 48)))
IMAGE = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    gc.freeze()
    yield
    gc.unfreeze()


def plain(target: Any, half: bool) -> Any:
    """A convolution and two Linears."""

    @mb.program(input_specs=[mb.TensorSpec((1, 3, 8, 8))], opset_version=target)
    def whole(images: Any) -> Any:
        patches = mb.conv(x=images, weight=KERNEL, strides=[4, 4], pad_type="valid")
        rows = mb.transpose(x=mb.reshape(x=patches, shape=[1, 32, 4]), perm=[0, 2, 1])
        tokens = mb.relu(x=mb.linear(x=rows, weight=ROWS))
        return mb.linear(x=mb.reduce_mean(x=tokens, axes=[1], keep_dims=False), weight=HEAD, name="logits")

    precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
    return ct.convert(whole, minimum_deployment_target=target, compute_precision=precision, skip_model_load=True)


def config(one: Any) -> Any:
    return optimize.OptimizationConfig(global_config=one)


def integers(joint: bool = False, **options: Any) -> Callable[[Any], Any]:
    one = optimize.OpLinearQuantizerConfig(weight_threshold=0, **options)
    return lambda model: optimize.linear_quantize_weights(model, config(one), joint_compression=joint)


def palettes(joint: bool = False, **options: Any) -> Callable[[Any], Any]:
    one = optimize.OpPalettizerConfig(weight_threshold=0, **options)
    return lambda model: optimize.palettize_weights(model, config(one), joint_compression=joint)


def pruned(one: Any) -> Callable[[Any], Any]:
    return lambda model: optimize.prune_weights(model, config(one))


def after(*steps: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def all_of(model: Any) -> Any:
        for step in steps:
            model = step(model)
        return model

    return all_of


SMALLEST = pruned(optimize.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0))
BLOCKS = {"granularity": "per_block", "block_size": 16}
GROUPS = {"mode": "kmeans", "granularity": "per_grouped_channel", "group_size": 8}
ONE_SCALE = {"mode": "linear_symmetric", "granularity": "per_tensor"}
TWO_OF_FOUR = optimize.OpMagnitudePrunerConfig(n_m_ratio=(2, 4), weight_threshold=0)
AFFINE, BLOCKWISE, TABLES, SPARSE = ({name} for name in (
    "affine_dequantize", "blockwise_shift_scale", "lut_to_dense", "sparse_to_dense"
))  # fmt: skip
FORMS: dict[str, tuple[Any, set[str], Callable[[Any], Any]]] = {
    "int8 symmetric": (IOS17, AFFINE, integers(mode="linear_symmetric")),
    "int8 with zero points": (IOS16, AFFINE, integers(mode="linear", dtype="uint8")),
    "int8 of iOS 18": (IOS18, BLOCKWISE, integers(mode="linear", dtype="int8")),
    "int8 with one scale": (IOS18, BLOCKWISE, integers(**ONE_SCALE)),
    "int4 in blocks": (IOS18, BLOCKWISE, integers(mode="linear_symmetric", dtype="int4", **BLOCKS)),
    "uint4 with offsets": (IOS18, BLOCKWISE, integers(mode="linear", dtype="uint4", **BLOCKS)),
    "palette of k-means": (IOS16, TABLES, palettes(mode="kmeans", nbits=4)),
    **{f"palette of {bits} bits": (IOS17, TABLES, palettes(mode="uniform", nbits=bits)) for bits in (1, 2, 4, 6, 8)},
    "palette of 3 bits of iOS 18": (IOS18, TABLES, palettes(mode="uniform", nbits=3)),
    "palettes of groups": (IOS18, TABLES, palettes(nbits=2, **GROUPS)),
    "palettes with scales": (IOS18, TABLES | BLOCKWISE, palettes(nbits=3, enable_per_channel_scale=True, **GROUPS)),
    "palettes of vectors": (IOS18, TABLES, palettes(mode="kmeans", nbits=4, cluster_dim=2)),
    "palette of integers": (IOS18, TABLES | BLOCKWISE, after(
        palettes(mode="uniform", nbits=4), integers(joint=True, **ONE_SCALE))),
    "sparse": (IOS16, SPARSE, SMALLEST),
    "sparse of iOS 18": (IOS18, SPARSE, SMALLEST),
    "sparse, two of four": (IOS17, SPARSE, pruned(TWO_OF_FOUR)),
    "sparse integers": (IOS18, SPARSE | {"sparse_blockwise_shift_scale"}, after(
        SMALLEST, integers(joint=True, mode="linear_symmetric"))),
    "sparse palette": (IOS18, SPARSE | {"lut_to_sparse"}, after(SMALLEST, palettes(joint=True, mode="uniform", nbits=4))),
    "sparse palette of integers": (IOS18, SPARSE | {"lut_to_sparse"}, after(
        SMALLEST, palettes(joint=True, mode="uniform", nbits=4), integers(joint=True, **ONE_SCALE))),
}  # fmt: skip


def dense(value: Any) -> Any:
    """What coremltools makes of a constant or a compressed one, link by link: by itself it goes through one link alone."""
    if value is None:
        return None
    if value.op.op_type == "const":
        return value.val
    given = {name: dense(value.op.inputs.get(name)) for name in inspect.signature(value.op.decompress).parameters}
    made = value.op.decompress(**given)
    return made[value.op.outputs.index(value)] if isinstance(made, tuple) else made


@pytest.mark.parametrize("half", [pytest.param(False, id="fp32", marks=pytest.mark.slow), pytest.param(True, id="fp16")])
@pytest.mark.parametrize("form", FORMS)
def test_each_weight_is_the_one_that_coremltools_finds(form: str, half: bool, tmp_path: Path) -> None:
    target, kinds, compress = FORMS[form]
    compress(plain(target, half)).save(str(tmp_path / "one.mlpackage"))
    main = packages.read(tmp_path / "one.mlpackage").main
    assert kinds <= {op.op_type.removeprefix("constexpr_") for op in main.operations if op.op_type.startswith("constexpr")}
    constants, _ = folded(main.operations, tmp_path)
    weights = [op.weight for op in main.operations if op.op_type in ("conv", "linear")]
    for weight, original in zip(weights, (KERNEL, ROWS, HEAD), strict=True):
        wanted = np.asarray(dense(weight))
        assert wanted.shape == original.shape and np.abs(wanted).max() > 0
        got = constants[id(weight)]
        assert isinstance(got, torch.Tensor)
        np.testing.assert_allclose(got.numpy(), wanted.astype(np.float32), rtol=2**-10 if half else 1e-6, atol=1e-7)
        if half:
            np.testing.assert_array_equal(got.numpy(), got.numpy().astype(np.float16))
    answered = evaluate.Evaluator(tmp_path / "one.mlpackage")(IMAGE)
    assert answered.shape == (2, 8) and np.isfinite(answered).all()
