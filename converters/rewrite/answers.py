"""Reading the answer: class token or mean, norm, representation layer, head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from converters.rewrite.parts import Answers, Authored, between
from converters.rewrite.rewriting import Rewrite
from edgevit.types import ViTConfig


class Mean(nn.Module):
    """The mean over patches, of which `tokens` tokens (1, tokens, width) are left, to (1, 1, width): a product with 1 / patches.

    `sizes` (1, tokens, 1) are the patches that a token stands for, where they were merged.
    """

    def __init__(self, tokens: int, patches: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.parts = nn.Parameter(torch.full((1, 1, tokens), 1 / patches, dtype=dtype), requires_grad=False)

    def forward(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        return torch.bmm(self.parts if sizes is None else self.parts * sizes.reshape(1, 1, -1), x)


class SlicedAnswers(nn.Module):
    """The encoded sequence (1, T, width) to logits (1, classes) by slices and maps alone.

    `first` is the first map behind the norm (the representation layer, or the head), `second` the head behind a representation
    layer, `other` the head of a distillation token. A mean over patches is taken after the norm. Tokens lie along `axis`.
    """

    axis = 1

    def __init__(self, answers: Answers, config: ViTConfig) -> None:
        super().__init__()
        head, *others = answers.heads
        self.norm, self.prefix = answers.norm, config.prefix
        self.first = answers.pre_logits or head
        self.second = head if answers.pre_logits else None
        self.other = others[0] if others else None
        left = config.lengths[-1] - config.prefix
        self.mean = Mean(left, config.patches, answers.norm.weight.dtype) if config.pool == "mean" else None

    def forward(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        if self.mean is not None:
            patches = self.norm(between(x, self.prefix, None, self.axis))
            weighted = () if sizes is None else (between(sizes, self.prefix, None, self.axis),)
            return self._logits(self.mean(patches, *weighted)).flatten(1)
        if self.other is None:
            return self._logits(self.norm(between(x, 0, 1, self.axis))).flatten(1)
        class_token, distillation_token = (self.norm(between(x, i, i + 1, self.axis)) for i in range(2))
        return ((self._logits(class_token) + self.other(distillation_token)) * 0.5).flatten(1)

    def _logits(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x if self.second is None else self.second(torch.tanh(x))


def _slice(model: Authored) -> int:
    if not isinstance(model.answers, Answers):
        return 0
    model.answers = SlicedAnswers(model.answers, model.config)
    return 1


SLICED_ANSWERS = Rewrite(
    "answers by slices",
    "select and mean over tokens, which split XNNPACK's delegate",
    "one token of a sequence is a slice of length 1; a mean is a product with 1 / patches",
    _slice,
)
