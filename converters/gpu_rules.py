"""What the TFLite GPU delegate refuses of a file, by rules read from its source; it cannot be asked without a GPU.

There are two of it: TensorFlow Lite's (tensorflow/lite/delegates/gpu) and LiteRT's successor on ML Drift, each with a
`model_builder.cc`. A rule stands here as the stricter of the two has it, with the file that it comes from; an operator that is
not on the list is refused. One exception: ML Drift has GELU, and no parser of TensorFlow Lite's that was read does, so that an
exact GELU is on the list for the sake of the first alone.

TensorFlow's Analyzer knows `gpu_compatibility.cc` alone, which looks at no batch and at little of what the parsers of
`model_builder.cc` ask besides: so it calls files compatible that the delegate refuses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from converters.flatbuffer import Node, Operand
from edgevit.types import Delegation

COUNTED = "counted by rule, not by the delegate"
COMPATIBILITY = "tensorflow/lite/tools/versioning/gpu_compatibility.cc"
BUILDER = "tensorflow/lite/delegates/gpu/common/model_builder.cc"
HELPER = "tensorflow/lite/delegates/gpu/common/model_builder_helper.cc"
SELECTOR = "tensorflow/lite/delegates/gpu/common/selectors/operation_selector.cc"
FLOATS = ("FLOAT32", "FLOAT16")
SIGN_BIT = 5


@dataclass(frozen=True)
class Rule:
    """`holds` for a node that the delegate takes; `words` is what is wrong with one for which it does not."""

    words: str
    holds: Callable[[Node], bool]
    source: str


def bhwc(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """How the delegate reads a shape of rank 1 to 4: batch, height, width, channels (`ExtractTensorShape` of its helper).

    The first dimension is the batch, whatever the rank: (T, width) is a batch of T.
    """
    batch, *rest = shape
    middle, channels = (rest[:-1], rest[-1]) if rest else ([], 1)
    height, width = [1] * (2 - len(middle)) + middle
    return batch, height, width, channels


def _runtime(node: Node) -> list[Operand]:
    return [operand for operand in (*node.inputs, *node.outputs) if not operand.constant]


def _read_alike(one: Operand, other: Operand) -> bool:
    return bhwc(one.shape) == bhwc(other.shape)


def _rank(node: Node) -> int:
    return len(node.inputs[0].shape)


EVERYWHERE = (
    Rule("a type other than float", lambda node: all(o.type in FLOATS for o in _runtime(node)), f"{BUILDER}: GetOpsToReplace"),
    Rule("rank 0 or above 4", lambda node: all(1 <= len(o.shape) <= 4 for o in _runtime(node)), f"{HELPER}: ExtractTensorShape"),
    Rule(
        "a batch other than 1",
        lambda node: all(o.shape[0] == 1 for o in _runtime(node)),
        "IsBatchMatchesForAllValues, which every back end of the delegate asks: one batch for all values, and an image has 1",
    ),
    Rule("a fused SIGN_BIT", lambda node: node.options.get("fusedActivationFunction") != SIGN_BIT, COMPATIBILITY),
)


def _one_of_the_shape(node: Node) -> bool:
    """The output has the shape of a runtime operand: of the first where the order counts."""
    commutes = node.operator in ("ADD", "MUL")
    runtime = [operand for operand in node.inputs if not operand.constant]
    return any(_read_alike(o, node.outputs[0]) for o in (runtime if commutes else runtime[:1]))


def _apart(node: Node) -> bool:
    """MUL(x, x) is a square and ADD(x, x) a product; nothing else may have the same operand twice."""
    return node.operator in ("ADD", "MUL") or len({operand.index for operand in node.inputs}) == len(node.inputs)


def _spread(node: Node) -> bool:
    """Runtime operands of one rank; a constant is a number, a vector over channels, or (1, H, W, C) without leading ones."""
    ranks = {len(operand.shape) for operand in node.inputs if not operand.constant}
    return len(ranks) == 1 and all(_is_small(o, max(ranks)) for o in node.inputs if o.constant)


def _is_small(constant: Operand, rank: int) -> bool:
    vector = math.prod(constant.shape) == (constant.shape[-1] if constant.shape else 1)
    return vector or (len(constant.shape) == 3) or (len(constant.shape) == rank == 4 and constant.shape[0] == 1)


PAIRS = (
    Rule("operands that spread both ways", _one_of_the_shape, f"{COMPATIBILITY}: MUL; {BUILDER}: ElementwiseOperationParser"),
    Rule("the same operand twice", _apart, f"{BUILDER}: ElementwiseOperationParser"),
    Rule("operands of other ranks", _spread, f"{COMPATIBILITY}: CheckAddMulBroadcast; {BUILDER}: ParseInputsWithConstTensor"),
)


def _whole_input(node: Node) -> bool:
    """The delegate flattens each batch: one token alone fits the weights."""
    entered, weights = node.inputs[:2]
    return len(weights.shape) == 2 and math.prod(entered.shape) // entered.shape[0] == weights.shape[1]


def _kept(node: Node) -> bool:
    """What is left is read where it stood: the delegate does not know which dimension was dropped."""
    rank = _rank(node)
    axes = {axis % rank for axis in node.axes}
    kept = tuple(1 if i in axes else n for i, n in enumerate(node.inputs[0].shape))
    return bool(axes) and bhwc(kept) == bhwc(node.outputs[0].shape)


def _rows_alike(node: Node) -> bool:
    return bhwc(node.inputs[0].shape)[:2] == bhwc(node.inputs[1].shape)[:2]


def _in_rank_4(node: Node) -> bool:
    return {len(operand.shape) for operand in (*node.inputs, *node.outputs)} == {4}


LAST_MASKS = ("ellipsisMask", "newAxisMask", "shrinkAxisMask")

RULES: dict[str, tuple[Rule, ...]] = {
    "CONV_2D": (
        Rule("weights that are not constant", lambda node: node.inputs[1].constant, f"{BUILDER}: Conv2DOperationParser"),
        Rule("an input of another rank than 4", lambda node: _rank(node) == 4, f"{BUILDER}: Conv2DOperationParser"),
        Rule(
            "groups", lambda node: node.inputs[0].shape[-1] == node.inputs[1].shape[-1],
            f"{BUILDER}: ResolveGroupedConvolution, which makes a convolution of each",
        ),
    ),
    "FULLY_CONNECTED": (
        Rule("weights that are not constant", lambda node: node.inputs[1].constant, f"{BUILDER}: FullyConnectedOperationParser"),
        Rule("weights in another order", lambda node: not node.options["weightsFormat"], COMPATIBILITY),
        Rule("more than one token", _whole_input, f"{BUILDER}: 'Amount of input data should match weights width'"),
    ),
    "BATCH_MATMUL": (
        Rule("a constant operand", lambda node: not any(o.constant for o in node.inputs), f"{BUILDER}: takes one of rank 2"),
        Rule(
            "a transposed operand", lambda node: not (node.options["adjX"] or node.options["adjY"]),
            f"{BUILDER}: BatchedMatMulOperationParser does not look at adj_x and adj_y",
        ),
        Rule("operands with other rows", _rows_alike, f"{SELECTOR}: BATCHED_MATMUL"),
    ),
    "MEAN": (Rule("a dimension dropped from among others", _kept, f"{BUILDER}: MeanOperationParser; {HELPER}"),),
    "SOFTMAX": (Rule("beta", lambda node: node.options["beta"] == 1, COMPATIBILITY),),
    "GELU": (
        Rule(
            "the tanh form", lambda node: not node.options["approximate"],
            f"{COMPATIBILITY} does not look at the option",
        ),
    ),
    "SLICE": (Rule("rank below 3", lambda node: _rank(node) in (3, 4), COMPATIBILITY),),
    "STRIDED_SLICE": (
        Rule("rank below 3", lambda node: _rank(node) in (3, 4), COMPATIBILITY),
        Rule("masks", lambda node: not any(node.options[mask] for mask in LAST_MASKS), COMPATIBILITY),
    ),
    "CONCATENATION": (Rule("another rank than 4", _in_rank_4, f"{BUILDER}: ConcatenationOperationParser"),),
    "PAD": (Rule("paddings of another shape", lambda node: node.inputs[1].shape in ((3, 2), (4, 2)), COMPATIBILITY),),
    "DEQUANTIZE": (
        Rule("a widened tensor that is computed", lambda node: node.inputs[0].constant, "FP16GraphPartitionHelper"),
    ),
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"), PAIRS),
    **dict.fromkeys(("EXP", "LOGISTIC", "NEG", "RELU", "RESHAPE", "RSQRT", "SQRT", "SQUARE", "TANH", "TRANSPOSE"), ()),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), ()),
}  # fmt: skip
"""The operators that the delegate takes, each with what it asks besides EVERYWHERE."""


def refusal(node: Node) -> str:
    """Why the delegate would refuse the node, in words that begin with its operator; empty where it would take it."""
    if node.operator not in RULES:
        return f"{node.operator}: not among its operators"
    if node.operator == "DEQUANTIZE" and node.inputs[0].constant:
        return ""
    broken = next((rule for rule in (*EVERYWHERE, *RULES[node.operator]) if not rule.holds(node)), None)
    return f"{node.operator}: {broken.words}" if broken else ""


def judged(nodes: Sequence[Node]) -> Delegation:
    """How much of the file the delegate would take, every refused operator named."""
    refused = Counter(filter(None, map(refusal, nodes)))
    words = [f"{n} {name}" for name, n in refused.most_common()]
    reason = "; ".join([COUNTED, *([f"refused: {', '.join(words)}"] if words else [])])
    outside = refused.total()
    return Delegation(None if outside else 1, len(nodes) - outside, outside, reason)
