"""Every operation of the evaluator with random shapes, axes, types and parameters, beside what coremltools itself computes.

Where coremltools computes nothing for an operation, PyTorch or the definition written out is the answer. Nothing is saved: an
operation is built over an input and evaluated, and built again over the same numbers as a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
folded = pytest.importorskip("targets.mil.program").folded
operations = pytest.importorskip("targets.mil.ops").OPERATIONS
stored = pytest.importorskip("targets.mil.values").stored
mil = pytest.importorskip("coremltools.converters.mil.mil")
mb, types = mil.Builder, mil.types
IOS17, IOS18 = ct.target.iOS17, ct.target.iOS18

Draw = Callable[[Any], Any]
NAMES = {np.float32: "fp32", np.float16: "fp16", np.int32: "int32", np.bool_: "bool"}
ARRAYS = {name: getattr(types, name) for name in NAMES.values()}


@dataclass(frozen=True)
class Made:
    """An operation over `x`: `build(variable, kind)` with parameters of float type `kind`, and another answer than coremltools'.

    `loose` widens the tolerance, for sums of large numbers; what has `sums` of float32 in another order is off by more.
    """

    x: np.ndarray
    build: Callable[[Any, Any], Any]
    answer: Callable[[np.ndarray], np.ndarray] | None = None
    target: Any = IOS17
    loose: float = 1.0


class Drawn:
    """What a case asks of hypothesis, in few words. Numbers are those of half precision, so that both types hold them."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self._random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def shape(self, low: int = 1, high: int = 5, side: int = 5) -> tuple[int, ...]:
        return tuple(self.draw(st.lists(st.integers(1, side), min_size=low, max_size=high)))

    def whole(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def flag(self) -> bool:
        return bool(self.draw(st.booleans()))

    def one(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def axis(self, rank: int) -> int:
        """Counted from either end."""
        return self.whole(-rank, rank - 1)

    def axes(self, rank: int) -> list[int]:
        places = self.draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
        return [place - rank if self.flag() else place for place in places]

    def numbers(self, shape: tuple[int, ...] | list[int], low: float = -3, high: float = 3) -> np.ndarray:
        return self._random.uniform(low, high, tuple(shape)).astype(np.float16).astype(np.float32)

    def integers(self, low: int, high: int, shape: Any = (), kind: Any = np.int32) -> np.ndarray:
        return self._random.integers(low, high + 1, shape).astype(kind)

    def beside(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that is broadcast with `shape`: some sides 1, some axes left out in front."""
        sides = tuple(1 if self.flag() else side for side in shape)
        return sides[self.whole(0, len(sides)) :]


def evaluated(build: Callable[[Any], Any], x: np.ndarray, kind: str, target: Any) -> np.ndarray:
    """By the evaluator, mapped over a batch of two as whole models are, whose second has other numbers."""
    with mil.Function({"x": mb.placeholder(shape=x.shape, dtype=ARRAYS[kind])}, opset_version=target) as function:
        found = build(function.inputs["x"])
        function.set_outputs([found])
    constants, steps = folded(function.operations, Path("nowhere"))
    place = id(function.inputs["x"])

    def one(image: torch.Tensor) -> Any:
        values = {**constants, place: stored(image, kind)}
        for step in steps:
            step.run(values, Path("nowhere"))
        return values[id(found)]

    batch = torch.from_numpy(np.stack([x, x[..., ::-1]]))
    both = torch.vmap(one)(batch)
    alone = one(batch[0])
    ulp = 2**-10 if kind == "fp16" else 1e-5
    assert torch.allclose(alone.double(), both[0].double(), rtol=ulp, atol=1e-5, equal_nan=True), "it gets what it gets alone"
    return np.asarray(both[0])


def inferred(build: Callable[[Any], Any], x: np.ndarray, target: Any) -> np.ndarray:
    with mil.Function({"unused": mb.placeholder(shape=(1,))}, opset_version=target):
        value = build(mb.const(val=x))
        answer = value.val if value.val is not None else value.op.materialized_val_inference()
    assert answer is not None, "coremltools computes no value for this operation: the case needs an answer of its own"
    return np.asarray(answer)


CASES: dict[str, Callable[[Drawn], Made]] = {}


def case(*names: str) -> Callable[[Callable[[Drawn, str], Made]], Callable[[Drawn, str], Made]]:
    def keep(function: Callable[[Drawn, str], Made]) -> Callable[[Drawn, str], Made]:
        CASES.update({name: lambda d, name=name: function(d, name) for name in names})
        return function

    return keep


def typed(array: Any, kind: Any) -> Any:
    return np.asarray(array).astype(kind) if np.asarray(array).dtype == np.float32 else array


DOMAINS = {
    "acos": (-0.9, 0.9), "asin": (-0.9, 0.9), "atanh": (-0.9, 0.9), "sqrt": (0.01, 9), "rsqrt": (0.01, 9), "log": (0.01, 9),
    "inverse": (0.1, 9), "tan": (-1.2, 1.2),
}  # fmt: skip


@case("abs", "acos", "asin", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "exp2", "floor", "identity", "relu", "relu6",
      "round", "sigmoid", "sign", "sin", "sinh", "softplus", "softsign", "sqrt", "square", "tan", "tanh")  # fmt: skip
def functions(d: Drawn, name: str) -> Made:
    return Made(d.numbers(d.shape(), *DOMAINS.get(name, (-3, 3))), lambda x, kind: getattr(mb, name)(x=x))


@case("silu")
def silu(d: Drawn, name: str) -> Made:
    return Made(d.numbers(d.shape(1, 5)), lambda x, kind: mb.silu(x=x), lambda x: x / (1 + np.exp(-x)))


@case("rsqrt", "log", "inverse")
def with_epsilon(d: Drawn, name: str) -> Made:
    epsilon = d.numbers((), 0.01, 1)
    return Made(d.numbers(d.shape(), *DOMAINS[name]), lambda x, kind: getattr(mb, name)(x=x, epsilon=typed(epsilon, kind)))


@case("threshold", "elu", "leaky_relu", "thresholded_relu")
def with_alpha(d: Drawn, name: str) -> Made:
    alpha = d.numbers((), 0.1, 2)
    return Made(d.numbers(d.shape(1, 5)), lambda x, kind: getattr(mb, name)(x=x, alpha=typed(alpha, kind)))


@case("clip", "clamped_relu", "linear_activation", "scaled_tanh", "sigmoid_hard")
def with_alpha_and_beta(d: Drawn, name: str) -> Made:
    alpha, beta = d.numbers((), -1, 0.5), d.numbers((), 0.5, 2)
    return Made(
        d.numbers(d.shape(1, 5)), lambda x, kind: getattr(mb, name)(x=x, alpha=typed(alpha, kind), beta=typed(beta, kind))
    )


@case("prelu", "softplus_parametric")
def by_channel(d: Drawn, name: str) -> Made:
    """coremltools takes a prelu of different slopes in rank 4 alone."""
    x = d.numbers(d.shape(*((4, 4) if name == "prelu" else (3, 5))))
    given = {"alpha": d.numbers(x.shape[1:2], 0.1, 2)} | ({} if name == "prelu" else {"beta": d.numbers(x.shape[1:2], 0.1, 2)})
    return Made(x, lambda x, kind: getattr(mb, name)(x=x, **{key: typed(value, kind) for key, value in given.items()}))


@case("gelu")
def gelu(d: Drawn, name: str) -> Made:
    mode = d.one("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    return Made(d.numbers(d.shape()), lambda x, kind: mb.gelu(x=x, mode=mode))


@case("add", "sub", "mul", "maximum", "minimum", "real_div", "floor_div", "mod", "pow", "equal", "not_equal", "greater",
      "greater_equal", "less", "less_equal")  # fmt: skip
def pairs(d: Drawn, name: str) -> Made:
    """Broadcast from either side; some numbers are equal."""
    shape = d.shape()
    low = 0.5 if name in ("real_div", "floor_div", "mod", "pow") else -3
    x, y, swap = d.numbers(shape, low), d.numbers(d.beside(shape), low), d.flag()
    if name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "floor_div", "mod"):
        x, y = np.round(x), np.round(y)
    if name in ("floor_div", "mod"):
        x, y = x * d.one(-1, 1), np.where(y == 0, 1, y).astype(np.float32)
        swap = False
    given = (lambda x, y: {"x": y, "y": x}) if swap else (lambda x, y: {"x": x, "y": y})
    return Made(x, lambda x, kind: getattr(mb, name)(**given(x, typed(y, kind))))


@case("add", "sub", "mul", "floor_div", "mod", "maximum", "minimum", "less", "equal")
def whole_pairs(d: Drawn, name: str) -> Made:
    shape = d.shape()
    x, y = d.integers(-9, 9, shape), d.integers(1, 9, d.beside(shape)) * d.one(-1, 1)
    return Made(x, lambda x, kind: getattr(mb, name)(x=x, y=y.astype(np.int32)))


PAIRS_OF_WHOLE = {
    name: CASES.pop(name) for name in ("add", "sub", "mul", "floor_div", "mod", "maximum", "minimum", "less", "equal")
}
for _name in PAIRS_OF_WHOLE:
    CASES[_name] = lambda d, name=_name: whole_pairs(d, name) if d.flag() else pairs(d, name)


@case("logical_and", "logical_or", "logical_xor", "logical_not")
def logic(d: Drawn, name: str) -> Made:
    shape = d.shape()
    x, y = d.integers(0, 1, shape, np.bool_), d.integers(0, 1, d.beside(shape), np.bool_)
    other = {} if name == "logical_not" else {"y": y}
    return Made(x, lambda x, kind: getattr(mb, name)(x=x, **other))


@case("select")
def select(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    other, limit = d.numbers(x.shape), d.numbers(())
    return Made(x, lambda x, kind: mb.select(cond=mb.greater(x=x, y=typed(limit, kind)), a=x, b=typed(other, kind)))


@case("cast")
def cast(d: Drawn, name: str) -> Made:
    kind = d.one("int32", "bool", "fp16", "fp32")
    return Made(d.numbers(d.shape(), -9, 9), lambda x, _: mb.cast(x=x, dtype=kind))


@case("reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum", "reduce_l1_norm", "reduce_l2_norm",
      "reduce_log_sum", "reduce_log_sum_exp", "reduce_sum_square")  # fmt: skip
def reductions(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(), 0.1 if name == "reduce_log_sum" else -2, 2)
    given = {"keep_dims": d.flag()} | ({"axes": d.axes(x.ndim)} if d.flag() else {})
    if x.ndim == len(given.get("axes", range(x.ndim))):
        given["keep_dims"] = True
    return Made(x, lambda x, kind: getattr(mb, name)(x=x, **given), loose=20)


@case("reduce_argmax", "reduce_argmin")
def places(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(2))
    axis, keep = d.axis(x.ndim), d.flag()
    return Made(x, lambda x, kind: getattr(mb, name)(x=x, axis=axis, keep_dims=keep))


@case("softmax")
def softmax(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(), -9, 9)
    axis = d.axis(x.ndim)
    return Made(x, lambda x, kind: mb.softmax(x=x, axis=axis))


@case("cumsum")
def cumsum(d: Drawn, name: str) -> Made:
    """Of an exclusive sum coremltools' own inference fails: each place has the sum of those before it, or behind it."""
    x = d.numbers(d.shape())
    axis, exclusive, back = d.whole(0, x.ndim - 1), d.flag(), d.flag()

    def answer(x: np.ndarray) -> np.ndarray:
        turned = np.flip(x, axis) if back else x
        sums = np.cumsum(turned, axis) - (turned if exclusive else 0)
        return np.flip(sums, axis) if back else sums

    return Made(x, lambda x, kind: mb.cumsum(x=x, axis=axis, exclusive=exclusive, reverse=back), answer, loose=20)


@case("argsort")
def argsort(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    assume(len(np.unique(x)) == x.size)
    axis, ascending = d.axis(x.ndim), d.flag()
    return Made(x, lambda x, kind: mb.argsort(x=x, axis=axis, ascending=ascending))


@case("topk")
def topk(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    assume(len(np.unique(x)) == x.size)
    axis, ascending, which = d.axis(x.ndim), d.flag(), d.whole(0, 1)
    k = d.whole(1, x.shape[axis])
    return Made(x, lambda x, kind: mb.topk(x=x, k=k, axis=axis, ascending=ascending)[which])


@case("matmul")
def matmul(d: Drawn, name: str) -> Made:
    batch = d.shape(0, 2)
    n, k, m = (d.whole(1, 6) for _ in range(3))
    across, down = d.flag(), d.flag()
    x = d.numbers((*batch, k, n) if across else (*batch, n, k))
    y = d.numbers((*d.beside(batch), m, k) if down else (*d.beside(batch), k, m))
    return Made(x, lambda x, kind: mb.matmul(x=x, y=typed(y, kind), transpose_x=across, transpose_y=down), loose=20)


@case("linear")
def linear(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(1, 3, 6))
    rows = d.whole(1, 6)
    weight, bias = d.numbers((rows, x.shape[-1])), d.numbers((rows,))
    given = lambda kind: {"weight": typed(weight, kind)} | ({"bias": typed(bias, kind)} if with_bias else {})  # noqa: E731
    with_bias = d.flag()
    return Made(x, lambda x, kind: mb.linear(x=x, **given(kind)), loose=20)


@case("einsum")
def einsum(d: Drawn, name: str) -> Made:
    """Apple's two equations, under any letters."""
    n, c, h, w, u = (d.whole(1, 4) for _ in range(5))
    four = d.flag()
    x, y = (d.numbers((n, c, h, w)), d.numbers((n, w, h, u))) if four else (d.numbers((c, h, w)), d.numbers((w, h, u)))
    equation = d.one("nchw,nwhu->nchu", "bkhd,bdhq->bkhq") if four else d.one("chw,whr->chr", "khd,dhq->khq")
    return Made(
        x, lambda x, kind: mb.einsum(values=(x, typed(y, kind)), equation=equation), lambda x: np.einsum(equation, x, y), loose=20
    )


@case("scaled_dot_product_attention")
def attention(d: Drawn, name: str) -> Made:
    """The queries are the input. A mask says who takes part, or is added."""
    heads = d.shape(1, 2, 3)
    asking, seen, width, out = (d.whole(1, 5) for _ in range(4))
    x, key, value = (d.numbers((*heads, *last)) for last in ((asking, width), (seen, width), (seen, out)))
    bits = d.integers(0, 1, (asking, seen), np.bool_)
    bits[:, 0] = True
    mask = d.one(None, bits, d.numbers((asking, seen)))
    extra = lambda kind: {} if mask is None else {"attn_mask": typed(mask, kind)}  # noqa: E731
    parts = (torch.tensor(key), torch.tensor(value), None if mask is None else torch.tensor(mask))
    return Made(
        x,
        lambda x, kind: mb.scaled_dot_product_attention(query=x, key=typed(key, kind), value=typed(value, kind), **extra(kind)),
        lambda x: F.scaled_dot_product_attention(torch.tensor(x), *parts).numpy(),
        IOS18,
        20,
    )


@case("layer_norm")
def layer_norm(d: Drawn, name: str) -> Made:
    """Over one axis, or the last few, as coremltools' own inference takes them; numbers far from zero too."""
    x = (d.numbers(d.shape(2, 4)) + d.one(0, 8)).astype(np.float16).astype(np.float32)
    first = d.whole(0, x.ndim - 1)
    axes = list(range(first, x.ndim)) if d.flag() else [first]
    sizes = [x.shape[axis] for axis in axes]
    affine = {"gamma": d.numbers(sizes), "beta": d.numbers(sizes)} if d.flag() else {}
    epsilon = np.float32(2.0 ** d.whole(-10, -2))
    build = lambda x, kind: mb.layer_norm(  # noqa: E731
        x=x, axes=axes, epsilon=kind(epsilon), **{key: typed(value, kind) for key, value in affine.items()}
    )
    return Made(x, build, loose=40)


@case("batch_norm")
def batch_norm(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(3, 5))
    mean, beta = (d.numbers(x.shape[1:2]) for _ in range(2))
    variance, gamma = (d.numbers(x.shape[1:2], 0.1, 3) for _ in range(2))
    affine = {"gamma": gamma, "beta": beta} if d.flag() else {}
    four = {"mean": mean, "variance": variance, **affine}
    return Made(
        x,
        lambda x, kind: mb.batch_norm(x=x, epsilon=kind(0.01), **{key: typed(value, kind) for key, value in four.items()}),
        lambda x: F.batch_norm(
            *(torch.tensor(t).double() for t in (x, mean, variance)),
            *(torch.tensor(affine[key]).double() for key in affine), eps=float(np.float32(0.01)),
        ).numpy(),
        loose=20,
    )  # fmt: skip


@case("instance_norm")
def instance_norm(d: Drawn, name: str) -> Made:
    x = d.numbers((*d.shape(2, 2), *d.shape(1, 2), d.whole(2, 5)))
    gamma, beta = (d.numbers(x.shape[1:2]) for _ in range(2))
    across = tuple(range(2, x.ndim))
    shape = (-1, *[1] * len(across))
    return Made(
        x,
        lambda x, kind: mb.instance_norm(x=x, gamma=typed(gamma, kind), beta=typed(beta, kind), epsilon=kind(0.125)),
        lambda x: (
            (x - x.mean(across, keepdims=True)) / np.sqrt(x.var(across, keepdims=True) + 0.125) * gamma.reshape(shape)
            + beta.reshape(shape)
        ),
        loose=20,
    )


@case("l2_norm")
def l2_norm(d: Drawn, name: str) -> Made:
    return Made(d.numbers(d.shape(3, 5)), lambda x, kind: mb.l2_norm(x=x, epsilon=kind(0.125)), loose=20)


def window(d: Drawn, sizes: tuple[int, ...], most: int = 3) -> dict[str, Any]:
    """Kernel, strides and margins for an image of these sizes, none of its windows empty."""
    kernel = [d.whole(1, min(most, size)) for size in sizes]
    kind = d.one("valid", "same", "same_lower", "custom")
    pads = [d.whole(0, size // 2) for size in kernel for _ in range(2)]
    return {"kernel": kernel, "strides": [d.whole(1, 3) for _ in sizes], "pad_type": kind} | (
        {"pad": pads} if kind == "custom" else {}
    )


def margins(sizes: tuple[int, ...], given: dict[str, Any], reach: list[int]) -> list[tuple[int, int]]:
    """By the definition of `same` in TensorFlow's guide: as many windows as strides fit, the odd margin after, or before."""
    if given["pad_type"] == "custom":
        return list(zip(given["pad"][::2], given["pad"][1::2], strict=True))
    found = []
    for size, width, step in zip(sizes, reach, given["strides"], strict=True):
        rest = size % step or step
        total = max(width - rest, 0) if given["pad_type"] != "valid" else 0
        found.append((total - total // 2, total // 2) if given["pad_type"] == "same_lower" else (total // 2, total - total // 2))
    return found


def windows(x: np.ndarray, reach: list[int], strides: list[int], step: list[int]) -> np.ndarray:
    """(n, C, *out, *kernel) of a padded image."""
    axes = tuple(range(2, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=axes)
    view = view[(slice(None), slice(None), *(slice(None, None, s) for s in strides))]
    return view[(..., *(slice(None, None, s) for s in step))]


@case("max_pool", "avg_pool")
def pool(d: Drawn, name: str) -> Made:
    x = d.numbers((d.whole(1, 2), d.whole(1, 3), *(d.whole(3, 7) for _ in range(d.whole(1, 2)))))
    given = window(d, x.shape[2:])
    kernel, strides = given["kernel"], given["strides"]
    outside = {} if name == "max_pool" else {"exclude_padding_from_average": d.flag()}

    def answer(x: np.ndarray) -> np.ndarray:
        pads = [(0, 0), (0, 0), *margins(x.shape[2:], given, kernel)]
        last = tuple(range(-len(kernel), 0))
        cut = lambda x, value: windows(np.pad(x, pads, constant_values=value), kernel, strides, [1] * len(kernel))  # noqa: E731
        if name == "max_pool":
            return cut(x, -np.inf).max(last)
        return cut(x, 0).sum(last) / (
            cut(np.ones_like(x), 0).sum(last) if outside["exclude_padding_from_average"] else np.prod(kernel)
        )

    rest = {key: value for key, value in given.items() if key != "kernel"} | outside
    return Made(x, lambda x, kind: getattr(mb, name)(x=x, kernel_sizes=kernel, **rest), answer, loose=20)


@case("conv")
def conv(d: Drawn, name: str) -> Made:
    groups, inputs, outputs = d.whole(1, 2), d.whole(1, 2), d.whole(1, 2)
    sizes = tuple(d.whole(4, 7) for _ in range(d.whole(1, 2)))
    x = d.numbers((1, groups * inputs, *sizes))
    given = window(d, sizes, 2)
    kernel, steps = given["kernel"], [d.whole(1, 2) for _ in sizes]
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, steps, strict=True)]
    weight, bias = d.numbers((groups * outputs, inputs, *kernel)), d.numbers((groups * outputs,))

    def answer(x: np.ndarray) -> np.ndarray:
        cut = windows(np.pad(x, [(0, 0), (0, 0), *margins(sizes, given, reach)]), reach, given["strides"], steps)
        parts = np.split(cut, groups, 1), np.split(weight, groups)
        axes = [1, *range(2 + len(sizes), 2 + 2 * len(sizes))]
        each = [np.tensordot(c, w, (axes, [1, *range(2, w.ndim)])) for c, w in zip(*parts, strict=True)]
        return np.moveaxis(np.concatenate(each, -1), -1, 1) + bias.reshape(-1, *[1] * len(sizes))

    rest = {key: value for key, value in given.items() if key != "kernel"} | {"dilations": steps, "groups": groups}
    return Made(x, lambda x, kind: mb.conv(x=x, weight=typed(weight, kind), bias=typed(bias, kind), **rest), answer, loose=20)


@case("pad")
def pad(d: Drawn, name: str) -> Made:
    """MIL mirrors the last two axes at most."""
    x = d.numbers((*d.shape(0, 2), *(d.whole(3, 5) for _ in range(2))))
    mode = d.one("constant", "reflect", "replicate")
    axes = d.whole(1, x.ndim if mode == "constant" else 2)
    amounts = [d.whole(0, 2) for _ in range(2 * axes)]
    value = d.numbers(())
    pairs = [(0, 0)] * (x.ndim - axes) + list(zip(amounts[::2], amounts[1::2], strict=True))
    modes: dict[str, Any] = {
        "constant": {"constant_values": value},
        "reflect": {"mode": "reflect"},
        "replicate": {"mode": "edge"},
    }
    return Made(
        x,
        lambda x, kind: mb.pad(x=x, pad=amounts, mode=mode, constant_val=typed(value, kind)),
        lambda x: np.pad(x, pairs, **modes[mode]),
    )


@case("concat", "stack")
def joined(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    y = d.numbers(x.shape)
    axis = d.axis(x.ndim)
    if name == "stack":
        return Made(x, lambda x, kind: mb.stack(values=[x, typed(y, kind), x], axis=axis), lambda x: np.stack([x, y, x], axis))
    if d.flag():
        axis %= x.ndim
        return Made(
            x,
            lambda x, kind: mb.concat(values=[x, typed(y, kind)], axis=axis, interleave=True),
            lambda x: np.stack([x, y], axis + 1).reshape([2 * s if i == axis else s for i, s in enumerate(x.shape)]),
        )
    return Made(x, lambda x, kind: mb.concat(values=[x, typed(y, kind), x], axis=axis))


@case("split")
def split(d: Drawn, name: str) -> Made:
    sizes = d.draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    shape = list(d.shape())
    axis, which = d.axis(len(shape)), d.whole(0, len(sizes) - 1)
    shape[axis] = sum(sizes)
    same = len(set(sizes)) == 1
    given = {"num_splits": len(sizes)} if same else {"split_sizes": sizes}
    return Made(d.numbers(shape), lambda x, kind: mb.split(x=x, axis=axis, **given)[which])


@case("reshape")
def reshape(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    shape = list(d.draw(st.permutations(x.shape)))
    if d.flag():
        shape[d.whole(0, len(shape) - 1)] = -1
    if d.flag():
        shape = [0 if side == x.shape[i] and side != -1 else side for i, side in enumerate(shape)]
    return Made(
        x, lambda x, kind: mb.reshape(x=x, shape=shape), lambda x: x.reshape([s or x.shape[i] for i, s in enumerate(shape)])
    )


@case("transpose")
def transpose(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    perm = [axis - x.ndim if d.flag() else axis for axis in d.draw(st.permutations(range(x.ndim)))]
    return Made(x, lambda x, kind: mb.transpose(x=x, perm=perm))


@case("squeeze", "expand_dims")
def ranks(d: Drawn, name: str) -> Made:
    shape = list(d.shape(2, 4))
    axes = d.axes(len(shape))
    if name == "expand_dims":
        rank = len(shape) + 1
        one = d.axis(rank)
        return Made(d.numbers(shape), lambda x, kind: mb.expand_dims(x=x, axes=[one]))
    axes = axes[: len(shape) - 1]
    for axis in axes:
        shape[axis] = 1
    return Made(d.numbers(shape), lambda x, kind: mb.squeeze(x=x, axes=axes))


@case("tile")
def tile(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(1, 4))
    reps = [d.whole(1, 3) for _ in x.shape]
    return Made(x, lambda x, kind: mb.tile(x=x, reps=reps))


@case("reverse")
def reverse(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    given = {"axes": d.axes(x.ndim)} if d.flag() else {}
    return Made(x, lambda x, kind: mb.reverse(x=x, **given))


@case("slice_by_index")
def slice_by_index(d: Drawn, name: str) -> Made:
    """Ends counted from either side or left out, strides back and forth, single places that drop their axis."""
    x = d.numbers(d.shape(1, 4))
    first, last, steps, no_first, no_last, drop = ([] for _ in range(6))  # type: ignore[var-annotated]
    for size in x.shape:
        step = d.one(1, 1, 2, -1, -2)
        low = d.whole(0, size - 1)
        high = d.whole(low + 1, size)
        begin, end = (low, high) if step > 0 else (high - 1, low - 1)
        open_end = step < 0 and end < 0
        first.append(begin - size if d.flag() else begin)
        last.append(end - size if d.flag() and 0 <= end < size else max(end, 0))
        steps.append(step)
        drop.append(d.flag() and d.flag() and step == 1)
        no_first.append(d.flag() and not drop[-1])
        no_last.append(open_end or (d.flag() and not drop[-1]))
    assume(not all(drop))
    given = {"begin": first, "end": last, "stride": steps, "begin_mask": no_first, "end_mask": no_last, "squeeze_mask": drop}
    cut = tuple(
        b if gone else slice(None if nb else b, None if ne else e, s)
        for b, e, s, nb, ne, gone in zip(first, last, steps, no_first, no_last, drop, strict=True)
    )
    assume(x[cut].size)
    return Made(x, lambda x, kind: mb.slice_by_index(x=x, **given), lambda x: x[cut])


@case("slice_by_size")
def slice_by_size(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape())
    begin = [d.whole(0, side - 1) for side in x.shape]
    size = [d.one(-1, d.whole(1, side - first)) for side, first in zip(x.shape, begin, strict=True)]
    return Made(x, lambda x, kind: mb.slice_by_size(x=x, begin=begin, size=size))


@case("gather")
def gather(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(1, 4))
    axis = d.axis(x.ndim)
    indices = d.integers(-x.shape[axis], x.shape[axis] - 1, d.shape(1, 2, 3))
    return Made(x, lambda x, kind: mb.gather(x=x, indices=indices, axis=axis), lambda x: np.take(x, indices, axis))


@case("gather_along_axis")
def gather_along_axis(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(1, 4))
    axis = d.axis(x.ndim)
    shape = [d.whole(1, 4) if i == axis % x.ndim else side for i, side in enumerate(x.shape)]
    indices = d.integers(-x.shape[axis], x.shape[axis] - 1, shape)
    return Made(
        x, lambda x, kind: mb.gather_along_axis(x=x, indices=indices, axis=axis), lambda x: np.take_along_axis(x, indices, axis)
    )


@case("gather_nd")
def gather_nd(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(2, 4))
    deep = d.whole(1, x.ndim)
    indices = np.stack([d.integers(-side, side - 1, (3,)) for side in x.shape[:deep]], -1)
    return Made(x, lambda x, kind: mb.gather_nd(x=x, indices=indices), lambda x: x[tuple(indices.T)])


@case("band_part")
def band_part(d: Drawn, name: str) -> Made:
    x = d.numbers(d.shape(2, 4))
    lower, upper = d.whole(-1, 3), d.whole(-1, 3)
    return Made(x, lambda x, kind: mb.band_part(x=x, lower=lower, upper=upper))


@case("flatten2d")
def flatten2d(d: Drawn, name: str) -> Made:
    """An axis within: at either end coremltools' own inference trips over the product of no sizes."""
    x = d.numbers(d.shape(2, 5))
    axis = d.whole(1, x.ndim - 1)
    return Made(x, lambda x, kind: mb.flatten2d(x=x, axis=axis))


@case("pixel_shuffle", "pixel_unshuffle", "depth_to_space", "space_to_depth")
def blocks(d: Drawn, name: str) -> Made:
    """By their definitions in PyTorch's and TensorFlow's guides, place by place."""
    size, channels, height, width = d.whole(2, 3), d.whole(1, 3), d.whole(1, 3), d.whole(1, 3)
    near = d.numbers((1, channels, height * size, width * size))

    def far(x: np.ndarray) -> np.ndarray:
        out = np.zeros((1, channels * size**2, height, width), np.float32)
        for c, i, j, y, z in np.ndindex(channels, size, size, height, width):
            place = (c * size + i) * size + j if "pixel" in name else (i * size + j) * channels + c
            out[0, place, y, z] = x[0, c, y * size + i, z * size + j]
        return out

    given = {"pixel_shuffle": "upscale_factor", "pixel_unshuffle": "downscale_factor"}.get(name, "block_size")
    kind_of = {"pixel_unshuffle": np.uint32}.get(name, np.int32)
    build = lambda x, kind: getattr(mb, name)(x=x, **{given: kind_of(size)})  # noqa: E731
    if name in ("pixel_unshuffle", "space_to_depth"):
        return Made(near, build, far)
    return Made(far(near), build, lambda x: near)


@case("fill", "fill_like", "range_1d", "shape")
def made_of_nothing(d: Drawn, name: str) -> Made:
    """Added to the input, since an operation of constants alone is folded."""
    x = d.numbers(d.shape())
    value = d.numbers(())
    last = np.arange(x.shape[-1], dtype=np.float32)
    builds: dict[str, tuple[Any, Any]] = {
        "fill": (lambda x, kind: mb.add(x=x, y=mb.fill(shape=x.shape, value=kind(value))), lambda x: x + value),
        "fill_like": (lambda x, kind: mb.add(x=x, y=mb.fill_like(ref_tensor=x, value=kind(value))), lambda x: x + value),
        "range_1d": (
            lambda x, kind: mb.add(x=x, y=mb.range_1d(start=kind(0), end=kind(x.shape[-1]), step=kind(1))),
            lambda x: x + last,
        ),
        "shape": (lambda x, kind: mb.reshape(x=x, shape=mb.reverse(x=mb.shape(x=x))), lambda x: x.reshape(x.shape[::-1])),
    }
    return Made(x, *builds[name])


@case("one_hot")
def one_hot(d: Drawn, name: str) -> Made:
    x = d.integers(0, 4, d.shape(1, 3))
    axis = d.axis(x.ndim + 1)
    return Made(
        x,
        lambda x, kind: mb.one_hot(indices=x, one_hot_vector_size=5, axis=axis, on_value=np.float32(2), off_value=np.float32(-1)),
        lambda x: np.moveaxis(np.eye(5, dtype=np.float32)[x], -1, axis) * 3 - 1,
    )


@case("quantize", "dequantize")
def quantize(d: Drawn, name: str) -> Made:
    """There, and there and back."""
    x = d.numbers(d.shape(1, 4))
    along = d.flag()
    axis = d.whole(0, x.ndim - 1)
    kind_of = d.one("int8", "uint8")
    shape = x.shape[axis] if along else ()
    scale = (2.0 ** d.integers(-6, -3, shape)).astype(np.float32)
    zero = d.integers(0, 20, shape, np.dtype(kind_of)) if d.flag() else None
    given = {} if zero is None else {"zero_point": zero}
    given |= {"axis": axis} if along else {}

    def build(x: Any, kind: Any) -> Any:
        whole = mb.quantize(input=x, scale=typed(scale, kind), output_dtype=kind_of, **given)
        return whole if name == "quantize" else mb.dequantize(input=whole, scale=typed(scale, kind), **given)

    def answer(x: np.ndarray) -> np.ndarray:
        spread = lambda v: v if not along else v.reshape([-1 if i == axis else 1 for i in range(x.ndim)])  # noqa: E731
        off = 0 if zero is None else spread(zero.astype(np.int32))
        whole = np.clip(np.round(x / spread(scale)) + off, *((-128, 127) if kind_of == "int8" else (0, 255)))
        return whole if name == "quantize" else ((whole - off) * spread(scale)).astype(np.float32)

    return Made(x, build, answer)


def hold(name: str, data: Any) -> None:
    made = CASES[name](Drawn(data.draw))
    wide = made.x.dtype == np.float32
    kind = data.draw(st.sampled_from([np.float32, np.float16])) if wide else made.x.dtype.type
    answer = made.answer(made.x) if made.answer else inferred(lambda x: made.build(x, np.float32), made.x, made.target)
    got = evaluated(lambda x: made.build(x, kind if wide else np.float32), made.x, NAMES[kind], made.target)
    assert got.shape == answer.shape, f"{got.shape}, not {answer.shape}"
    if not np.issubdtype(answer.dtype, np.floating):
        np.testing.assert_array_equal(got, answer)
    elif kind is np.float16:
        np.testing.assert_array_equal(got, got.astype(np.float16), "a result is of half precision")
        np.testing.assert_allclose(got, answer, rtol=2**-11 + made.loose * 1e-6, atol=2**-24 + made.loose * 1e-6)
    else:
        np.testing.assert_allclose(got, answer, rtol=made.loose * 1e-6, atol=made.loose * 1e-6)


QUIET = {"database": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=12, **QUIET)
def test_operation_equals_an_independent_answer(name: str, data: Any) -> None:
    hold(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=200, **QUIET)
def test_operation_equals_an_independent_answer_many_times(name: str, data: Any) -> None:
    hold(name, data)


def test_every_operation_has_a_case() -> None:
    """Compressed constants have theirs in test_mil_compressed."""
    assert {name for name in operations if not name.startswith("constexpr")} == CASES.keys()
