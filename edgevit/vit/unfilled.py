"""A model whose weights come from elsewhere, made without drawing those that it would begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

LEFT = {init.kaiming_uniform_, init.uniform_, init.normal_, Tensor.uniform_}


class Unfilled(TorchFunctionMode):
    """While it lasts, nothing random is drawn into a tensor, so that the memory of large ones is not even touched.

    Where a normal distribution is cut off, torch draws until nothing lies outside: zeros do not.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in LEFT:
            return args[0] if args else kwargs["tensor"]
        return args[0].zero_() if func is Tensor.normal_ else func(*args, **(kwargs or {}))
