"""The rules of the GPU delegate, each broken once; the shapes are those of files that converters wrote."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

pytest.importorskip("ai_edge_litert")

import targets
from converters.flatbuffer import Node, Operand
from converters.gpu_rules import COUNTED, EVERYWHERE, RULES, bhwc, judged, refusal
from edgevit.pipeline.export import delegated
from edgevit.types import Artifact, Outcome

Shape = tuple[int, ...]
NONE = {"fusedActivationFunction": 0}


def floats(*shapes: Shape, constant: bool = False) -> tuple[Operand, ...]:
    return tuple(Operand(10 * constant + i, "FLOAT32", shape, constant) for i, shape in enumerate(shapes))


def node(operator: str, inputs: tuple[Operand, ...], out: Shape, axes: Shape = (), **options: Any) -> Node:
    return Node(operator, inputs, (Operand(99, "FLOAT32", out),), {**NONE, **options}, axes)


X, COLUMN, WEIGHTS = (1, 1, 17, 64), (1, 1, 17, 1), (128, 1, 1, 64)
PLAIN = {"adjX": False, "adjY": False}
TAKEN = {
    "a map": node("CONV_2D", floats(X) + floats(WEIGHTS, (128,), constant=True), (1, 1, 17, 128)),
    "a map of one token": node("FULLY_CONNECTED", floats((1, 64)) + floats((10, 64), constant=True), (1, 10), weightsFormat=0),
    "a mean taken off": node("SUB", floats(X, COLUMN), X),
    "a column first": node("MUL", floats(COLUMN, X), X),
    "a square": node("MUL", floats(X)[:1] * 2, X),
    "positions": node("ADD", floats(X) + floats(X, constant=True), X),
    "a number": node("ADD", floats(X) + floats((), constant=True), X),
    "products": node("BATCH_MATMUL", floats((1, 2, 17, 32), (1, 2, 32, 17)), (1, 2, 17, 17), **PLAIN),
    "softmax": node("SOFTMAX", floats((1, 2, 17, 17)), (1, 2, 17, 17), beta=1.0),
    "GELU": node("GELU", floats(X), X, approximate=False),
    "a class token put before": node("CONCATENATION", floats((1, 1, 1, 64), constant=True) + floats(X), (1, 1, 18, 64), axis=2),
    "a mean over tokens": node("MEAN", floats(X) + floats((1,), constant=True), (1, 1, 64), (2,), keepDims=False),
    "a mean over an image": node("MEAN", floats((1, 8, 8, 32)) + floats((2,), constant=True), (1, 32), (1, 2), keepDims=False),
    "logits": node("RESHAPE", floats((1, 1, 1, 10)) + floats((2,), constant=True), (1, 10)),
    "halves": Node("DEQUANTIZE", (Operand(0, "FLOAT16", WEIGHTS, True),), (Operand(1, "FLOAT32", WEIGHTS, True),), {}),
}
REFUSED = {
    "COS: not among its operators": node("COS", floats(X), X),
    "EXP: a type other than float": dataclasses.replace(node("EXP", floats(X), X), outputs=(Operand(1, "INT32", X),)),
    "RESHAPE: rank 0 or above 4": node("RESHAPE", floats((1, 17, 192)), (1, 17, 3, 2, 32)),
    "RSQRT: a batch other than 1": node("RSQRT", floats((17,)), (17,)),
    "ADD: a fused SIGN_BIT": node("ADD", floats(X, X), X, fusedActivationFunction=5),
    "MUL: operands that spread both ways": node("MUL", floats((1, 1, 17, 1), (1, 1, 1, 64)), X),
    "SUB: operands that spread both ways": node("SUB", floats(COLUMN, X), X),
    "SUB: the same operand twice": node("SUB", floats(X)[:1] * 2, X),
    "ADD: operands of other ranks": node("ADD", floats(X) + floats((17, 64), constant=True), X),
    "CONV_2D: weights that are not constant": node("CONV_2D", floats(X, (*WEIGHTS[1:], 1)), X),
    "CONV_2D: an input of another rank than 4": node("CONV_2D", floats(X[1:]) + floats(WEIGHTS, constant=True), (1, 17, 128)),
    "CONV_2D: groups": node("CONV_2D", floats(X) + floats((128, 1, 1, 32), constant=True), (1, 1, 17, 128)),
    "FULLY_CONNECTED: weights that are not constant": node("FULLY_CONNECTED", floats((1, 64), (1, 64)), (1, 1), weightsFormat=0),
    "FULLY_CONNECTED: weights in another order": node(
        "FULLY_CONNECTED", floats((1, 64)) + floats((10, 64), constant=True), (1, 10), weightsFormat=1
    ),
    "FULLY_CONNECTED: more than one token": node(
        "FULLY_CONNECTED", floats(X) + floats((128, 64), constant=True), (1, 1, 17, 128), weightsFormat=0
    ),
    "BATCH_MATMUL: a constant operand": node(
        "BATCH_MATMUL", floats((1, 17, 2, 32)) + floats((1, 17, 32, 17), constant=True), (1, 17, 2, 17), **PLAIN
    ),
    "BATCH_MATMUL: a transposed operand": node(
        "BATCH_MATMUL", floats((1, 2, 17, 32), (1, 2, 17, 32)), (1, 2, 17, 17), adjX=False, adjY=True
    ),
    "BATCH_MATMUL: operands with other rows": node(
        "BATCH_MATMUL", floats((1, 2, 17, 32), (1, 1, 32, 17)), (1, 2, 17, 17), **PLAIN
    ),
    "BATCH_MATMUL: a batch other than 1": node("BATCH_MATMUL", floats((2, 17, 32), (2, 32, 17)), (2, 17, 17), **PLAIN),
    "MEAN: a dimension dropped from among others": node("MEAN", floats(X) + floats((1,), constant=True), (1, 1, 17), (3,)),
    "SOFTMAX: beta": node("SOFTMAX", floats(X), X, beta=2.0),
    "GELU: the tanh form": node("GELU", floats(X), X, approximate=True),
    "SLICE: rank below 3": node("SLICE", floats((1, 64)), (1, 32)),
    "STRIDED_SLICE: rank below 3": node("STRIDED_SLICE", floats((1, 64)), (1, 32)),
    "STRIDED_SLICE: masks": node("STRIDED_SLICE", floats(X), (1, 17, 64), ellipsisMask=0, newAxisMask=0, shrinkAxisMask=2),
    "CONCATENATION: another rank than 4": node("CONCATENATION", floats((1, 1, 64), (1, 16, 64)), (1, 17, 64), axis=1),
    "PAD: paddings of another shape": node("PAD", floats((1, 64)) + floats((2, 2), constant=True), (1, 66)),
    "DEQUANTIZE: a widened tensor that is computed": node("DEQUANTIZE", floats(X), X),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_delegate_takes(name: str) -> None:
    assert refusal(TAKEN[name]) == ""


@pytest.mark.parametrize("words", REFUSED)
def test_what_it_refuses_is_named_with_its_reason(words: str) -> None:
    assert refusal(REFUSED[words]) == words


def test_every_rule_is_broken_once() -> None:
    """A rule that nothing breaks might as well not be there."""
    own = {f"{name}: {rule.words}" for name, rules in RULES.items() for rule in rules if name not in ("ADD", "SUB", "MUL", "DIV")}
    paired = {words for words in own if words.startswith(("MAXIMUM", "MINIMUM", "SQUARED"))}  # the same rules as SUB's
    assert own - paired <= set(REFUSED)
    assert {rule.words for rule in EVERYWHERE} <= {words.partition(": ")[2] for words in REFUSED}


@pytest.mark.parametrize(
    ("shape", "read"),
    [((17,), (17, 1, 1, 1)), ((17, 64), (17, 1, 1, 64)), ((1, 17, 64), (1, 1, 17, 64)), ((1, 2, 3, 4), (1, 2, 3, 4))],
)
def test_the_first_dimension_is_the_batch(shape: Shape, read: Shape) -> None:
    assert bhwc(shape) == read


def test_a_file_is_counted_and_its_refused_operators_named() -> None:
    batch = REFUSED["BATCH_MATMUL: a batch other than 1"]
    found = judged([TAKEN["a map"], batch, batch, REFUSED["GELU: the tanh form"]])
    assert (found.subgraphs, found.inside, found.outside) == (None, 1, 3)
    assert found.reason == f"{COUNTED}; refused: 2 BATCH_MATMUL: a batch other than 1, 1 GELU: the tanh form"
    whole = judged([TAKEN["a map"], TAKEN["GELU"]])
    assert (whole.subgraphs, whole.inside, whole.outside, whole.reason) == (1, 2, 0, COUNTED)


def test_a_refused_operator_fails_the_export_by_name() -> None:
    found = judged([TAKEN["a map"], REFUSED["GELU: the tanh form"]])
    made = delegated(Artifact("tflite-gpu", "fp32", Outcome.PASS, delegation=found), targets.get("tflite-gpu"))
    assert made.outcome is Outcome.UNDELEGATED
    assert made.reason == f"1 nodes outside the delegate, at most 0: {COUNTED}; refused: 1 GELU: the tanh form"
