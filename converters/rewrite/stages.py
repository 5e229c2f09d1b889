"""A rewritten model stage by stage: its tensors behind each, and all that is computed within one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from converters.rewrite.parts import Authored

EMBEDDING, TOKENS, NORM, LOGITS = "embedding", "tokens", "norm", "logits"
CHANNELS_FIRST = 3
"""The axis of the tokens where the channels are before them."""


@dataclass(frozen=True)
class Passed:
    """What goes on behind a stage: its tensor, how many patches each token stands for, and the stream before the last norm."""

    x: Tensor
    sizes: Tensor | None = None
    stream: Tensor | None = None


class Stages:
    """`model` as patches, tokens, each block, the last norm and the answers; of a distilled one, which has two norms, without.

    What enters a stage may be another's tensor, so that its own errors are told from those before it.
    """

    def __init__(self, model: Authored) -> None:
        self.model = model
        blocks = [f"block {number}" for number in range(1, len(model.blocks) + 1)]
        norm = [] if model.config.pool == "distilled" else [NORM]
        self.names = (EMBEDDING, TOKENS, *blocks, *norm, LOGITS)

    def start(self, image: np.ndarray) -> Passed:
        return Passed(torch.from_numpy(np.ascontiguousarray(image)))

    @torch.no_grad()
    def step(self, number: int, given: Passed) -> Passed:
        name = self.names[number]
        if name in (EMBEDDING, TOKENS):
            return Passed((self.model.patches if name == EMBEDDING else self.model.tokens)(given.x))
        if name == NORM:
            return self._norm(given)
        return self._answers(given) if name == LOGITS else self._block(number - 2, given)

    def value(self, given: Passed) -> np.ndarray:
        return given.x.detach().float().numpy()

    def instead(self, given: Passed, value: np.ndarray) -> Passed:
        return dataclasses.replace(given, x=torch.from_numpy(np.ascontiguousarray(value)))

    def inside(self, number: int, given: Passed) -> list[np.ndarray]:
        with _Seen() as seen, sdpa_kernel(SDPBackend.MATH):
            self.step(number, given)
        return seen.tensors

    def tokens(self, number: int, value: np.ndarray) -> np.ndarray | None:
        """The tensor behind a stage as (tokens, width), each token less its mean, which no norm sees; logits as they are.

        None behind the last norm, whose gain may be in the maps that follow.
        """
        name = self.names[number]
        if name == NORM:
            return None
        if name == LOGITS:
            return value
        width = self.model.config.width
        rows = value.reshape(width, -1).T if self.model.encoders()[0].axis == CHANNELS_FIRST else value.reshape(-1, width)
        return np.asarray(rows - rows.mean(1, keepdims=True))

    def _block(self, number: int, given: Passed) -> Passed:
        block = self.model.encoders()[number]
        x = block(given.x, None if given.sizes is None else given.sizes.log().reshape(1, 1, -1))
        return Passed(*block.merging(x, given.sizes)) if block.merging is not None else Passed(x, given.sizes)

    def _norm(self, given: Passed) -> Passed:
        found: list[Tensor] = []
        with self._behind_norm(found.append):
            self._answered(given.x, given.sizes)
        return Passed(found[0], given.sizes, given.x)

    def _answers(self, given: Passed) -> Passed:
        """From the stream; or, behind the norm, from its tensor."""
        if given.stream is None:
            return Passed(self._answered(given.x, given.sizes))
        with self._behind_norm(lambda _: given.x):
            return Passed(self._answered(given.stream, given.sizes))

    def _answered(self, x: Tensor, sizes: Tensor | None) -> Tensor:
        logits: Tensor = self.model.answers(x) if sizes is None else self.model.answers(x, sizes)
        return logits

    @contextmanager
    def _behind_norm(self, done: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        norm = self.model.answers.norm
        assert isinstance(norm, nn.Module)
        hook = norm.register_forward_hook(lambda _module, _given, out: done(out))
        try:
            yield
        finally:
            hook.remove()


class _Seen(TorchDispatchMode):
    """Keeps every tensor of floats that torch computes while it lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: list[np.ndarray] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if type(tensor) is Tensor and tensor.is_floating_point() and tensor.numel() > 1:
                self.tensors.append(tensor.detach().float().numpy().copy())
        return made
