"""What of a saved package would leave Apple's Neural Engine, by rules: nothing but a device can say it for certain.

Apple publishes no list ("no static documentation, as it changes based on device generation, operating system version, tensor
sizes", apple/coremltools#1780), so each rule has its source. Two kinds are told apart: what was seen to run elsewhere, and what
goes against the layout that Apple's article asks for, which may well run on the Neural Engine and slower: ViTs of rank 3 were
measured there (roboflow/rf-detr#1495).

Left out of hollance/neural-engine's list, which calls itself incomplete and possibly wrong: broadcast products (C, H, W) x
(C, 1, 1), which Apple's own LayerNorm for the Neural Engine is made of, and the layers of the format before ML programs.
Left out of Apple's article: copies by reshape and transpose (principle 3), of which its own attention needs one a block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevit.types import Delegation
from targets.mil import package
from targets.mil.library import types

ARTICLE = "Apple, Deploying Transformers on the Neural Engine, machinelearning.apple.com/research/neural-engine-transformers"
HOLLANCE = "github.com/hollance/neural-engine, docs/unsupported-layers.md"

LONGEST = 16384
"""The longest axis that the Neural Engine takes."""


@dataclass(frozen=True)
class Rule:
    """`breaks` looks at an operation of MIL. `leaves`: such ones were seen to run elsewhere; else Apple's layout is broken."""

    words: str
    source: str
    leaves: bool
    breaks: Callable[[Any], bool]


@dataclass(frozen=True)
class Offender:
    """An operation of a package with the first rule that it breaks."""

    kind: str
    name: str
    shape: tuple[int, ...]
    rule: Rule


def _is(*kinds: str) -> Callable[[Any], bool]:
    return lambda operation: operation.op_type in kinds


def _single(operation: Any) -> bool:
    """A cast only leads to or from what an app reads."""
    return operation.op_type != "cast" and any(types.builtin_to_string(out.dtype) == "fp32" for out in operation.outputs)


def _any_shape(broken: Callable[[tuple[int, ...]], bool]) -> Callable[[Any], bool]:
    return lambda operation: any(broken(tuple(out.shape)) for out in operation.outputs)


def _dilated(operation: Any) -> bool:
    return operation.op_type == "conv" and bool((operation.dilations.val > 1).any())


def _wide_pool(operation: Any) -> bool:
    if operation.op_type not in ("max_pool", "avg_pool", "l2_pool"):
        return False
    return bool((operation.kernel_sizes.val > 13).any() or (operation.strides.val > 2).any())


RULES = (
    Rule("computes in float32, and the Neural Engine in float16", "apple.github.io/coremltools/docs-guides/source/"
         "typed-execution.html; huggingface/exporters#56; hollance/neural-engine, docs/16-bit.md", True, _single),
    Rule("looks up by index", f"apple/coremltools#1103; {HOLLANCE}", True, _is("gather", "gather_nd")),
    Rule("was measured on the CPU", "roboflow/rf-detr#1495, on an M3 Pro", True, _is("topk", "tile", "gather_along_axis")),
    Rule("is recurrent", f"apple/coremltools#1780; {HOLLANCE}", True, _is("lstm", "gru", "rnn")),
    Rule("is a dilated convolution", HOLLANCE, True, _dilated),
    Rule("pools over more than 13 or strides by more than 2", HOLLANCE, True, _wide_pool),
    Rule("has more than 5 axes", "microsoft/onnxruntime#14212; apple/coremltools#1723", True, _any_shape(lambda s: len(s) > 5)),
    Rule(f"has an axis longer than {LONGEST}", "apple/coremltools#1003; microsoft/onnxruntime#19543", True,
         _any_shape(lambda s: max(s, default=0) > LONGEST)),
    Rule("is a linear where Apple asks for a 1x1 convolution", f"{ARTICLE}, principle 1", False, _is("linear")),
    Rule("multiplies all heads at once, or in another layout than einsum's", f"{ARTICLE}, principle 2", False,
         _is("matmul", "scaled_dot_product_attention")),
    Rule("is not of the format (1, channels, 1, sequence), four axes", f"{ARTICLE}, principle 1", False,
         _any_shape(lambda s: len(s) != 4)),
)  # fmt: skip


def offenders(path: Path) -> tuple[tuple[Offender, ...], int]:
    """The operations of the package at `path` that break a rule, and how many break none. Raises DamagedFile.

    Constants are no operations here. What only gives the answer its shape for the app, at the end, breaks no rule of layout.
    """
    computed = [op for op in package.read(path).main.operations if op.op_type != "const" and "constexpr" not in op.op_type]
    last = {id(op) for op in computed[-2:] if op.op_type in ("reshape", "squeeze", "cast")}
    rules = {id(op): [rule for rule in RULES if rule.leaves or id(op) not in last] for op in computed}
    broken = [(op, next((rule for rule in rules[id(op)] if rule.breaks(op)), None)) for op in computed]
    found = tuple(Offender(op.op_type, op.name, tuple(op.outputs[0].shape), rule) for op, rule in broken if rule)
    return found, len(computed) - len(found)


def delegation(path: Path) -> Delegation:
    """How much of the package keeps to the rules, with the names of what does not."""
    found, kept = offenders(path)
    by_rule = {rule: [offender for offender in found if offender.rule is rule] for rule in RULES}
    words = "; ".join(_words(rule, broken) for rule, broken in by_rule.items() if broken)
    return Delegation(None, kept, len(found), f"by rules, not by Core ML: {words or 'every operation keeps to them'}")


def _words(rule: Rule, found: list[Offender]) -> str:
    """Every kind of operation that breaks the rule, how many of it, and the name of the first."""
    counts = Counter(offender.kind for offender in found)
    first = {offender.kind: offender.name for offender in reversed(found)}
    kinds = ", ".join(f"{count} {kind} (first {first[kind]})" for kind, count in counts.items())
    return f"{rule.words}: {kinds}"
