"""A ViT taken apart into the pieces that rewrites replace: patches, tokens, blocks, answers. One image at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from edgevit.vit.model import Block, ViT


class Tokens(nn.Module):
    """Patch embeddings (1, patches, width) to the sequence (1, T, width): positions added, class token and others put before."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.prefix, self.positions, self._embed = vit.prefix, vit.positions, vit.embed

    def forward(self, patches: Tensor) -> Tensor:
        return self._embed(patches)


class Encoder(nn.Module):
    """A Block without what only training needs. `asking` first tokens alone are carried on; None carries all.

    Tokens lie along `axis`. `merging` makes fewer of them at the end.
    """

    axis = 1

    def __init__(self, block: Block, merging: nn.Module | None = None) -> None:
        super().__init__()
        self.norm1, self.attention = block.norm1, block.attn
        self.norm2, self.mlp = block.norm2, block.mlp
        self.merging = merging
        self.asking: int | None = None

    def forward(self, x: Tensor, log_sizes: Tensor | None = None) -> Tensor:
        mixed = self.attention(self.norm1(x)) if log_sizes is None else self.attention(self.norm1(x), log_sizes)
        x = between(x, 0, self.asking, self.axis) + mixed
        return x + self.mlp(self.norm2(x))


class Answers(nn.Module):
    """The encoded sequence (1, T, width) to the logits (1, classes), as the checkpoint's own model does.

    With it the number of patches that each token stands for (1, T, 1), where patches are merged.
    """

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.norm, self.pre_logits = vit.norm, vit.pre_logits
        self.heads = nn.ModuleList(vit.heads())
        self._answers = vit.answers

    def forward(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        first, *others = self._answers(x, sizes)
        return first if not others else (first + others[0]) / 2


class Authored(nn.Module):
    """One image (1, 3, H, W) to logits (1, classes). It takes `vit` over: rewrites change its modules in place.

    `given` makes of a normalised image what the model takes: the image itself, unless a rewrite says otherwise.
    """

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.config = vit.config
        self.given: Callable[[Tensor], Tensor] = _as_it_is
        self.patches: nn.Module = vit.patch_embed
        self.tokens: nn.Module = Tokens(vit)
        merging = dict(vit.merging.items())
        self.blocks = nn.ModuleList(Encoder(b, merging.get(str(n))) for n, b in enumerate(vit.layers(), 1))
        self.answers: nn.Module = Answers(vit)

    def forward(self, images: Tensor) -> Tensor:
        *_, logits = self.passing(images)
        return logits

    def passing(self, images: Tensor) -> Iterator[Tensor]:
        """What each stage gives: the patches, the tokens, every block, and the logits."""
        yield (x := self.patches(images))
        yield (x := self.tokens(x))
        sizes = log_sizes = None
        for block in self.encoders():
            x = block(x, log_sizes)
            if block.merging is not None:
                x, sizes = block.merging(x, sizes)
                log_sizes = sizes.log().reshape(1, 1, -1)
            yield x
        yield self.answers(x) if sizes is None else self.answers(x, sizes)

    @property
    def dtype(self) -> torch.dtype:
        """That it computes in."""
        return next(self.patches.parameters()).dtype

    def encoders(self) -> list[Encoder]:
        return [block for block in self.blocks if isinstance(block, Encoder)]


def _as_it_is(images: Tensor) -> Tensor:
    return images


class Showing(Authored):
    """An Authored that gives what every stage does, the logits last. Its modules keep their names."""

    @classmethod
    def of(cls, model: Authored) -> Showing:
        shown = copy.copy(model)
        shown.__class__ = cls
        return shown  # type: ignore[return-value]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return tuple(self.passing(images))


def constant(tensor: Tensor | None) -> nn.Parameter | None:
    return None if tensor is None else nn.Parameter(tensor.detach().clone(), requires_grad=False)


def between(x: Tensor, start: int, stop: int | None, axis: int) -> Tensor:
    """Tokens `start` up to `stop` of a sequence: (1, T, width), axis 1, (1, 1, T, width), axis 2, or (1, width, 1, T), axis 3.

    A slice that takes everything would be an operator for nothing.
    """
    if (start, stop or x.shape[axis]) == (0, x.shape[axis]):
        return x
    return x[(slice(None),) * axis + (slice(start, stop),)]


def swap(model: nn.Module, kind: type[nn.Module], new: Callable[..., nn.Module]) -> int:
    """Replace every module of exactly that kind by `new(module)`; how many there were."""
    found = [
        (parent, name, child) for parent in model.modules() for name, child in parent.named_children() if type(child) is kind
    ]
    for parent, name, child in found:
        setattr(parent, name, new(child))
    return len(found)
