"""The operations of MIL that go number by number: functions, comparisons, logic and activations.

Source: coremltools/converters/mil/mil/ops/defs, iOS15/elementwise_unary.py, elementwise_binary.py and activation.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from targets.mil.moves import Operation


def unary(function: Callable[[Tensor], Tensor]) -> Operation:
    return lambda x: function(x)


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda x, y: function(x, y)


def inverse(x: Tensor, epsilon: Tensor) -> Tensor:
    return 1 / (x + epsilon)


def rsqrt(x: Tensor, epsilon: Tensor) -> Tensor:
    return torch.rsqrt(x + epsilon)


def log(x: Tensor, epsilon: Tensor) -> Tensor:
    return torch.log(x + epsilon)


def exp2(x: Tensor) -> Tensor:
    return torch.exp2(x.float())


def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return x.clamp(float(alpha), float(beta))


def threshold(x: Tensor, alpha: Tensor) -> Tensor:
    return x.clamp(min=float(alpha))


def real_div(x: Tensor, y: Tensor) -> Tensor:
    """Of integers too: as its result is stored as an integer, it is rounded towards zero then."""
    return torch.div(x, y)


def logical(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda x, y: function(x.bool(), y.bool())


def gelu(x: Tensor, mode: str) -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def cast(x: Tensor, dtype: str) -> Tensor:
    """Nothing to compute: every result is stored as its type."""
    return x


def clamped_relu(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return torch.where(x >= 0, x, alpha * x).clamp(max=float(beta))


def elu(x: Tensor, alpha: Tensor) -> Tensor:
    return torch.where(x >= 0, x, alpha * torch.expm1(x))


def leaky_relu(x: Tensor, alpha: Tensor) -> Tensor:
    return torch.where(x >= 0, x, alpha * x)


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """One alpha for each channel, which is axis 1."""
    return torch.where(x >= 0, x, by_channel(alpha, x) * x)


def linear_activation(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return alpha * x + beta


def scaled_tanh(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return alpha * torch.tanh(beta * x)


def sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros(()))


def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return by_channel(alpha, x) * softplus(by_channel(beta, x) * x)


def thresholded_relu(x: Tensor, alpha: Tensor) -> Tensor:
    return torch.where(x >= alpha, x, torch.zeros(()))


def by_channel(vector: Tensor, x: Tensor) -> Tensor:
    return vector.reshape([-1] + [1] * (x.ndim - 2))


POINTWISE: dict[str, Operation] = {
    **{
        name: unary(getattr(torch, name))
        for name in (
            "abs", "acos", "asin", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "floor", "logical_not", "relu", "round",
            "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh",
        )
    },
    **{name: binary(getattr(torch, name)) for name in ("add", "maximum", "minimum", "mul", "pow", "sub")},
    **{
        name: binary(getattr(torch, short))
        for name, short in {
            "equal": "eq", "floor_div": "floor_divide", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le",
            "mod": "remainder", "not_equal": "ne",
        }.items()
    },
    **{f"logical_{name}": logical(getattr(torch, f"logical_{name}")) for name in ("and", "or", "xor")},
    "cast": cast,
    "clamped_relu": clamped_relu,
    "clip": clip,
    "elu": elu,
    "exp2": exp2,
    "gelu": gelu,
    "inverse": inverse,
    "leaky_relu": leaky_relu,
    "linear_activation": linear_activation,
    "log": log,
    "prelu": prelu,
    "real_div": real_div,
    "relu6": unary(F.relu6),
    "rsqrt": rsqrt,
    "scaled_tanh": scaled_tanh,
    "sigmoid_hard": sigmoid_hard,
    "silu": unary(F.silu),
    "softplus": softplus,
    "softplus_parametric": softplus_parametric,
    "softsign": unary(F.softsign),
    "threshold": threshold,
    "thresholded_relu": thresholded_relu,
}  # fmt: skip
