"""Every operation that the evaluator of Core ML packages knows, saved and read back, beside an answer made elsewhere."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.errors import DamagedFile, EdgevitError

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
evaluate = pytest.importorskip("targets.mil.evaluate")
packages = pytest.importorskip("targets.mil.package")
program = pytest.importorskip("targets.mil.program").program
integers = pytest.importorskip("targets.mil.integers").integers
mil = pytest.importorskip("coremltools.converters.mil.mil")
mb, types = mil.Builder, mil.types
IOS17, IOS18 = ct.target.iOS17, ct.target.iOS18


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    """`ct.convert` collects garbage each time, which takes half a second among the objects of torch and coremltools."""
    gc.freeze()
    yield
    gc.unfreeze()


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([*shape, seed]).normal(size=shape).astype(np.float32)


def saved(path: Path, build: Callable[[Any], Any], shape: tuple[int, ...], kind: Any = types.fp32, target: Any = IOS17) -> Path:
    """The package of a program `build` over one input. No pass may simplify it."""

    @mb.program(input_specs=[mb.TensorSpec(shape, dtype=kind)], opset_version=target)
    def whole(x: Any) -> Any:
        return build(x)

    model = ct.convert(
        whole,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    model.save(str(path / "one.mlpackage"))
    return path / "one.mlpackage"


def inferred(build: Callable[[Any], Any], x: np.ndarray, target: Any) -> np.ndarray:
    """What coremltools itself computes for the program over a constant."""
    with mil.Function({"unused": mb.placeholder(shape=(1,))}, opset_version=target):
        value = build(mb.const(val=x)).val
    assert value is not None, "coremltools computes no value for this operation: the case needs a formula of its own"
    return np.asarray(value)


def evaluated(path: Path, *images: np.ndarray) -> np.ndarray:
    return torch.vmap(program(packages.read(path)).evaluate)(torch.from_numpy(np.stack(images))).numpy()


def pooled(sizes: list[int], strides: list[int], **padding: Any) -> Callable[[Any], Any]:
    return lambda x: mb.max_pool(x=x, kernel_sizes=sizes, strides=strides, **padding)


def highest(x: np.ndarray, size: int, strides: tuple[int, int], margin: int) -> np.ndarray:
    """The largest value in each window of a (1, C, H, W), window by window."""
    x = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)), constant_values=-np.inf)
    starts = [range(0, side - size + 1, step) for side, step in zip(x.shape[2:], strides, strict=True)]
    rows = [[x[:, :, i : i + size, j : j + size].max((2, 3)) for j in starts[1]] for i in starts[0]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


@dataclass(frozen=True)
class Case:
    """An operation over one input; `formula` is its answer where coremltools computes none."""

    name: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...] = (2, 3, 4)
    formula: Callable[[np.ndarray], np.ndarray] | None = None
    positive: bool = False
    target: Any = IOS17


def convolved(x: np.ndarray, weight: np.ndarray, stride: int, before: int, after: int, step: int = 1, groups: int = 1) -> Any:
    """A two-dimensional convolution written out."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (before, after), (before, after)))
    reach = (weight.shape[2] - 1) * step + 1
    rows, columns = ((size - reach) // stride + 1 for size in x.shape[2:])
    out = np.zeros((len(x), len(weight), rows, columns))
    for c, i, j in np.ndindex(len(weight), rows, columns):
        inputs = weight.shape[1]
        first = c // (len(weight) // groups) * inputs
        window = x[:, first : first + inputs, i * stride : i * stride + reach : step, j * stride : j * stride + reach : step]
        out[:, c, i, j] = (window * weight[c]).sum((1, 2, 3))
    return out


def conv(weight: np.ndarray, stride: int = 1, step: int = 1, groups: int = 1, **padding: Any) -> Callable[[Any], Any]:
    return lambda x: mb.conv(x=x, weight=weight, strides=[stride] * 2, dilations=[step] * 2, groups=groups, **padding)


def normalised(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, gamma: Any, beta: Any, epsilon: float) -> np.ndarray:
    shape = (1, -1, 1, 1)
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + epsilon) * gamma.reshape(shape) + beta.reshape(shape)


Y, ROW, SCALAR = random(2, 3, 4, seed=1), random(4, seed=2), np.float32(0.7)
W, B = random(5, 4, seed=3), random(5, seed=4)
G, H = random(3, seed=5), np.abs(random(3, seed=6)) + 0.1
KERNEL, EVEN, GROUPED = random(5, 3, 3, 3), random(4, 3, 2, 2), random(6, 1, 3, 3)
IMAGE = (1, 3, 7, 7)
MASK = np.array([[True, True, False, True, False]])

CASES = [
    *(Case(f"{op}", lambda x, op=op: getattr(mb, op)(x=x, y=Y)) for op in ("add", "sub", "mul", "maximum", "minimum")),
    *(Case(f"{op} row", lambda x, op=op: getattr(mb, op)(x=ROW, y=x)) for op in ("add", "sub", "mul", "maximum", "minimum")),
    Case("real_div", lambda x: mb.real_div(x=x, y=Y)),
    Case("real_div scalar", lambda x: mb.real_div(x=SCALAR, y=x)),
    Case("pow", lambda x: mb.pow(x=x, y=ROW), positive=True),
    *(Case(op, lambda x, op=op: getattr(mb, op)(x=x)) for op in ("erf", "exp", "relu", "sigmoid", "square", "tanh", "identity")),
    Case("sqrt", lambda x: mb.sqrt(x=x), positive=True),
    Case("rsqrt", lambda x: mb.rsqrt(x=x, epsilon=0.25), positive=True),
    Case("log", lambda x: mb.log(x=x, epsilon=0.25), positive=True),
    Case("abs", lambda x: mb.abs(x=x)),
    Case("clip", lambda x: mb.clip(x=x, alpha=-0.5, beta=0.75)),
    Case("silu", lambda x: mb.silu(x=x), formula=lambda x: x / (1 + np.exp(-x))),
    *(
        Case(f"gelu {mode}", lambda x, mode=mode: mb.gelu(x=x, mode=mode))
        for mode in ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    ),
    *(Case(f"softmax {axis}", lambda x, axis=axis: mb.softmax(x=x, axis=axis)) for axis in (-1, 0, 1)),
    Case("cast to int32", lambda x: mb.cast(x=mb.cast(x=mb.mul(x=x, y=np.float32(3)), dtype="int32"), dtype="fp32")),
    Case("cast to bool", lambda x: mb.cast(x=mb.cast(x=mb.relu(x=x), dtype="bool"), dtype="fp32")),
    Case("int32 add", lambda x: mb.cast(x=mb.add(x=mb.cast(x=x, dtype="int32"), y=np.int32(7)), dtype="fp32")),
    Case("linear", lambda x: mb.linear(x=x, weight=W, bias=B)),
    Case("linear no bias", lambda x: mb.linear(x=x, weight=W), (1, 4)),
    Case("matmul", lambda x: mb.matmul(x=x, y=random(2, 4, 5))),
    Case("matmul x^T", lambda x: mb.matmul(x=x, y=random(2, 3, 5), transpose_x=True)),
    Case("matmul y^T", lambda x: mb.matmul(x=x, y=random(5, 4), transpose_y=True)),
    Case("matmul itself", lambda x: mb.matmul(x=x, y=x, transpose_y=True), (1, 2, 3, 4)),
    *(
        Case(
            f"einsum {equation}",
            lambda x, equation=equation, y=y: mb.einsum(values=(x, y), equation=equation),
            shape,
            lambda x, equation=equation, y=y: np.einsum(equation, x, y),
        )
        for equation, shape, y in (
            ("nchw,nwhu->nchu", (1, 3, 2, 4), random(1, 4, 2, 5)),
            ("bkhd,bdhq->bkhq", (2, 3, 2, 4), random(2, 4, 2, 5)),
            ("chw,whr->chr", (3, 2, 4), random(4, 2, 5)),
        )
    ),
    Case(
        "einsum over one row",
        lambda x: mb.einsum(values=(x, random(1, 4, 1, 5)), equation="nchw,nwhu->nchu"),
        (1, 3, 2, 4),
        lambda x: np.einsum("nchw,nwu->nchu", x, random(1, 4, 1, 5)[:, :, 0]),
    ),
    Case("layer_norm", lambda x: mb.layer_norm(x=x, axes=[-1], gamma=ROW, beta=ROW, epsilon=1e-3)),
    Case("layer_norm bare", lambda x: mb.layer_norm(x=x, axes=[-1], epsilon=1e-6)),
    Case("layer_norm middle", lambda x: mb.layer_norm(x=x, axes=[1], gamma=G, beta=H)),
    Case("layer_norm two", lambda x: mb.layer_norm(x=x, axes=[1, 2], gamma=Y[0], beta=Y[1])),
    Case(
        "batch_norm",
        lambda x: mb.batch_norm(x=x, mean=G, variance=H, gamma=H, beta=G, epsilon=np.float32(1e-2)),
        (2, 3, 4, 5),
        lambda x: normalised(x, G, H, H, G, 1e-2),
    ),
    *(
        Case(f"{op} {axes} {keep}", lambda x, op=op, axes=axes, keep=keep: getattr(mb, op)(x=x, axes=axes, keep_dims=keep))
        for op in ("reduce_mean", "reduce_sum", "reduce_max")
        for axes, keep in (([-1], True), ([0, 2], False))
    ),
    Case("reduce_mean of all", lambda x: mb.reduce_mean(x=x, keep_dims=True)),
    Case("conv valid", conv(KERNEL, pad_type="valid"), IMAGE, lambda x: convolved(x, KERNEL, 1, 0, 0)),
    Case("conv patches", conv(EVEN, 2, pad_type="valid"), (1, 3, 8, 8), lambda x: convolved(x, EVEN, 2, 0, 0)),
    Case("conv custom", conv(KERNEL, 2, pad_type="custom", pad=[2, 1, 2, 1]), IMAGE, lambda x: convolved(x, KERNEL, 2, 2, 1)),
    Case("conv same", conv(EVEN, pad_type="same"), IMAGE, lambda x: convolved(x, EVEN, 1, 0, 1)),
    Case("conv same_lower", conv(EVEN, pad_type="same_lower"), IMAGE, lambda x: convolved(x, EVEN, 1, 1, 0)),
    Case("conv same strided", conv(KERNEL, 2, pad_type="same"), IMAGE, lambda x: convolved(x, KERNEL, 2, 1, 1)),
    Case("conv dilated", conv(KERNEL, 1, 2, pad_type="valid"), IMAGE, lambda x: convolved(x, KERNEL, 1, 0, 0, 2)),
    Case("conv grouped", conv(GROUPED, 1, 1, 3, pad_type="valid"), IMAGE, lambda x: convolved(x, GROUPED, 1, 0, 0, 1, 3)),
    Case("conv 1-d", lambda x: mb.conv(x=x, weight=random(2, 3, 4), bias=ROW[:2]), (1, 3, 4), lambda x: (
        (x * random(2, 3, 4)).sum((1, 2)) + ROW[:2]
    )[None, :, None]),
    Case("pad", lambda x: mb.pad(x=x, pad=[0, 0, 1, 2, 3, 0], mode="constant", constant_val=0.5), formula=lambda x: np.pad(
        x, ((0, 0), (1, 2), (3, 0)), constant_values=0.5
    )),
    Case("pad reflected", lambda x: mb.pad(x=x, pad=[1, 2], mode="reflect"), formula=lambda x: np.pad(
        x, ((0, 0), (0, 0), (1, 2)), mode="reflect"
    )),
    Case("max_pool", pooled([2, 2], [2, 1], pad_type="valid"), IMAGE, lambda x: highest(x, 2, (2, 1), 0)),
    Case("max_pool custom", pooled([3, 3], [2, 2], pad_type="custom", pad=[1] * 4), IMAGE, lambda x: highest(x, 3, (2, 2), 1)),
    Case("concat", lambda x: mb.concat(values=[x, Y, x], axis=-2)),
    Case(
        "concat interleaved",
        lambda x: mb.concat(values=[x, Y], axis=1, interleave=True),
        formula=lambda x: np.stack([x, Y], 2).reshape(2, 6, 4),
    ),
    Case("stack", lambda x: mb.stack(values=[x, Y], axis=-1), formula=lambda x: np.stack([x, Y], -1)),
    Case("split in equals", lambda x: mb.split(x=x, num_splits=2, axis=-1)[1]),
    Case("split by sizes", lambda x: mb.split(x=x, split_sizes=[1, 2, 1], axis=2)[1]),
    Case("reshape", lambda x: mb.reshape(x=x, shape=[4, 6])),
    Case("reshape 0 and -1", lambda x: mb.reshape(x=x, shape=[0, -1, 3]), (2, 3, 4)),
    Case("transpose", lambda x: mb.transpose(x=x, perm=[2, 0, -2])),
    Case("squeeze", lambda x: mb.squeeze(x=x, axes=[0, -2]), (1, 3, 1, 4)),
    Case("squeeze what is one", lambda x: mb.squeeze(x=x), (1, 3, 1, 4)),
    Case("expand_dims", lambda x: mb.expand_dims(x=x, axes=[-1, 1])),
    Case("tile", lambda x: mb.tile(x=x, reps=[1, 3, 2])),
    Case("slice_by_index", lambda x: mb.slice_by_index(x=x, begin=[0, 1, -3], end=[2, -1, 4], stride=[1, 1, 2])),
    Case(
        "slice_by_index masks",
        lambda x: mb.slice_by_index(
            x=x, begin=[1, 2, 1], end=[1, 1, 3], begin_mask=[True, False, False], end_mask=[True, True, False]
        ),
    ),
    Case(
        "slice_by_index squeeze",
        lambda x: mb.slice_by_index(
            x=x, begin=[0, -1, 0], end=[0, 0, 0], end_mask=[True, False, True], squeeze_mask=[False, True, False]
        ),
    ),
    Case("slice_by_index back", lambda x: mb.slice_by_index(x=x, begin=[0, 2, -1], end=[2, 0, -4], stride=[1, -1, -2])),
    Case("slice_by_size", lambda x: mb.slice_by_size(x=x, begin=[0, 1, -2], size=[2, -1, 1])),
    Case("gather", lambda x: mb.gather(x=x, indices=np.array([[2, -1], [0, 0]], np.int32), axis=1)),
    Case("gather one", lambda x: mb.gather(x=x, indices=np.int32(1), axis=-1)),
    Case("gather in batches", lambda x: mb.gather(x=x, indices=np.array([[2, 1], [0, -1]], np.int32), axis=2, batch_dims=1)),
    Case("gather uint16", lambda x: mb.gather(x=x, indices=np.array([2, 0], np.uint16), axis=1)),
    Case("gather by value", lambda x: mb.gather(x=ROW, indices=mb.cast(x=mb.sigmoid(x=x), dtype="int32"))),
    *(
        Case(
            f"attention {name}",
            lambda x, mask=mask: mb.scaled_dot_product_attention(query=x, key=x, value=mb.exp(x=x), **mask),
            (1, 2, 5, 4),
            target=IOS18,
        )
        for name, mask in (("bare", {}), ("mask", {"attn_mask": MASK}), ("bias", {"attn_mask": random(5, 5)}))
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operation_equals_independent_answer(case: Case, tmp_path: Path) -> None:
    inputs = [random(*case.shape, seed=seed) for seed in (10, 11)]
    if case.positive:
        inputs = [np.abs(x) + 0.1 for x in inputs]
    answer = case.formula or (lambda x: inferred(case.build, x, case.target))
    got = evaluated(saved(tmp_path, case.build, case.shape, target=case.target), *inputs)
    for x, result in zip(inputs, got, strict=True):
        np.testing.assert_allclose(result, answer(x), rtol=1e-5, atol=2e-6)


HALVES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, kind: mb.add(x=x, y=ROW.astype(np.float16).astype(kind)),
    "gelu": lambda x, kind: mb.gelu(x=x, mode="EXACT"),
    "layer_norm": lambda x, kind: mb.layer_norm(x=x, axes=[-1], epsilon=kind(2**-10)),
    "matmul": lambda x, kind: mb.matmul(x=x, y=x, transpose_y=True),
    "softmax": lambda x, kind: mb.softmax(x=x, axis=-1),
}


@pytest.mark.parametrize("name", HALVES)
def test_half_precision_is_rounded_once_for_each_operation(name: str, tmp_path: Path) -> None:
    x = random(2, 3, 4).astype(np.float16)
    path = saved(tmp_path, lambda x: HALVES[name](x, np.float16), x.shape, types.fp16)
    got = evaluated(path, x.astype(np.float32))[0]
    exact = inferred(lambda x: HALVES[name](x, np.float32), x.astype(np.float32), IOS17)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, got.astype(np.float16))
    np.testing.assert_allclose(got, exact, rtol=1.01 * 2**-11, atol=1e-7)
    assert (got != exact).any()


def test_half_precision_rounds_between_operations(tmp_path: Path) -> None:
    """1 + 2**-12 is 1 in half precision, so nothing is left when 1 is taken off again."""
    one, little = np.float16(1), np.full((1, 4), 2.0**-12, np.float32)
    path = saved(tmp_path, lambda x: mb.sub(x=mb.add(x=x, y=one), y=one), (1, 4), types.fp16)
    assert (evaluated(path, little) == 0).all()


# Compressed constants: coremltools' own decompression is the answer.


def whole_numbers(low: int, high: int, *shape: int, kind: Any = np.int8) -> np.ndarray:
    return np.random.default_rng(5).integers(low, high, shape).astype(kind)


def palette(bits: int) -> Callable[[], Any]:
    """iOS 16: 20 indices of `bits` bits in a row of bytes."""
    packed = whole_numbers(0, 256, -(-20 * bits // 8), kind=np.uint8)
    return lambda: mb.constexpr_lut_to_dense(indices=packed, lut=random(2**bits), shape=np.array([4, 5], np.uint32))


def tables(shape: tuple[int, ...], **vector_axis: Any) -> Callable[[], Any]:
    """iOS 18: indices of 2 bits into tables of `shape`."""
    indices = whole_numbers(0, 4, 4, 6, kind=types.np_uint2_dtype)
    return lambda: mb.constexpr_lut_to_dense(indices=indices, lut=random(*shape), **vector_axis)


INT8, INT4, UINT8 = (
    whole_numbers(-128, 128, 4, 6),
    whole_numbers(-8, 8, 4, 6, kind=types.np_int4_dtype),
    whole_numbers(0, 256, 4, 6, kind=np.uint8),
)
BITS = np.array([0b10101001, 0b1101], np.uint8)
DENSE = {
    "affine rows": (IOS17, lambda: mb.constexpr_affine_dequantize(
        quantized_data=INT8, zero_point=np.arange(4, dtype=np.int8), scale=random(4), axis=0)),
    "affine columns": (IOS17, lambda: mb.constexpr_affine_dequantize(
        quantized_data=UINT8, zero_point=np.uint8(128), scale=random(6), axis=-1)),
    "affine one scale": (IOS17, lambda: mb.constexpr_affine_dequantize(
        quantized_data=INT8, zero_point=np.int8(-3), scale=np.float32(0.1), axis=0)),
    "blockwise rows": (IOS18, lambda: mb.constexpr_blockwise_shift_scale(data=INT8, scale=random(4, 1))),
    "blockwise groups": (IOS18, lambda: mb.constexpr_blockwise_shift_scale(
        data=INT4, scale=random(4, 2), offset=whole_numbers(-8, 8, 4, 2, kind=types.np_int4_dtype))),
    **{f"palette {bits} bits": (IOS17, palette(bits)) for bits in (1, 2, 4, 6, 8)},
    "tables, one": (IOS18, tables((1, 1, 4, 1))),
    "tables, groups": (IOS18, tables((2, 3, 4, 1))),
    "tables of vectors": (IOS18, tables((2, 1, 4, 3), vector_axis=0)),
    "sparse": (IOS17, lambda: mb.constexpr_sparse_to_dense(
        nonzero_data=random(7), mask=BITS, shape=np.array([3, 4], np.uint32))),
    "sparse, iOS 18": (IOS18, lambda: mb.constexpr_sparse_to_dense(
        nonzero_data=random(3), mask=np.array([[0, 1, 0], [1, 0, 1]], types.np_uint1_dtype))),
    "cast": (IOS17, lambda: mb.constexpr_cast(source_val=random(3, 4).astype(np.float16), output_dtype="fp32")),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_compressed_constant_equals_decompression_of_coremltools(name: str, tmp_path: Path) -> None:
    target, make = DENSE[name]
    with mil.Function({"unused": mb.placeholder(shape=(1,))}, opset_version=target):
        dense = make().op.materialized_val_inference()
    got = evaluated(saved(tmp_path, lambda x: mb.add(x=x, y=make()), dense.shape, target=target), np.zeros_like(dense))[0]
    assert np.abs(dense).max() > 0
    np.testing.assert_allclose(got, dense, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in DENSE if name.startswith(("affine", "blockwise"))])
def test_integers_times_scales_are_the_weights(name: str, tmp_path: Path) -> None:
    target, make = DENSE[name]
    path = saved(tmp_path, lambda x: mb.add(x=x, y=make()), (4, 6), target=target)
    [(whole, scales)] = integers(path).values()
    assert np.issubdtype(whole.dtype, np.integer) and whole.shape == (4, 6)
    spread = np.repeat(scales, 6 // scales.shape[1], 1)
    np.testing.assert_allclose(whole * spread, evaluated(path, np.zeros((4, 6), np.float32))[0], rtol=1e-6)


# Programs that are whole and yet cannot be run.


def test_step_that_fails_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, lambda x: mb.gather(x=x, indices=np.array([5], np.int32), axis=1, validate_indices=False), (1, 3))
    with pytest.raises(EdgevitError, match="cannot evaluate gather"):
        evaluated(path, np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(("shape", "kind"), [((3, 4), "input"), ((1, 3, 4, 4), "output")])
def test_program_that_takes_no_image_is_refused(shape: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=f"its {kind} is"):
        evaluate.Evaluator(saved(tmp_path, lambda x: mb.relu(x=x), shape))
