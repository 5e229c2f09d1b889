"""Reading the answer: class token or mean, norm, representation layer, head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from converters.rewrite.parts import Answers, Authored
from converters.rewrite.rewriting import Rewrite


class SlicedAnswers(nn.Module):
    """The encoded sequence (1, T, width) to logits (1, classes) by slices and maps alone.

    `first` is the first map behind the norm (the representation layer, or the head), `second` the head behind a representation
    layer, `other` the head of a distillation token. A mean over patches is taken after the norm, as a product with 1 / patches.
    """

    def __init__(self, answers: Answers, pool: str, prefix: int, tokens: int) -> None:
        super().__init__()
        head, *others = answers.heads
        self.norm, self.pool, self.prefix = answers.norm, pool, prefix
        self.first = answers.pre_logits or head
        self.second = head if answers.pre_logits else None
        self.other = others[0] if others else None
        patches = tokens - prefix
        mean = torch.full((1, 1, patches), 1 / patches, dtype=answers.norm.weight.dtype)
        self.mean = nn.Parameter(mean, requires_grad=False) if pool == "mean" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.mean is not None:
            return self._logits(torch.bmm(self.mean, self.norm(_between(x, self.prefix, x.shape[1])))).flatten(1)
        if self.other is None:
            return self._logits(self.norm(_between(x, 0, 1))).flatten(1)
        class_token, distillation_token = (self.norm(_between(x, i, i + 1)) for i in range(2))
        return ((self._logits(class_token) + self.other(distillation_token)) * 0.5).flatten(1)

    def _logits(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x if self.second is None else self.second(torch.tanh(x))


def _between(x: Tensor, start: int, stop: int) -> Tensor:
    """A slice that takes everything would be an operator for nothing."""
    return x if (start, stop) == (0, x.shape[1]) else x[:, start:stop]


def _slice(model: Authored) -> int:
    if not isinstance(model.answers, Answers):
        return 0
    config = model.config
    model.answers = SlicedAnswers(model.answers, config.pool, config.prefix, config.tokens)
    return 1


SLICED_ANSWERS = Rewrite(
    "answers by slices",
    "select and mean over tokens, which split XNNPACK's delegate",
    "one token of a sequence is a slice of length 1; a mean is a product with 1 / patches",
    _slice,
)
