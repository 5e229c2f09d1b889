"""A ViT taken apart into the pieces that rewrites replace: patches, tokens, blocks, answers. One image at a time."""

from __future__ import annotations

from collections.abc import Callable

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

    Tokens lie along `axis`.
    """

    axis = 1

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm1, self.attention = block.norm1, block.attn
        self.norm2, self.mlp = block.norm2, block.mlp
        self.asking: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.attention(self.norm1(x))
        x = between(x, 0, self.asking, self.axis) + mixed
        return x + self.mlp(self.norm2(x))


class Answers(nn.Module):
    """The encoded sequence (1, T, width) to the logits (1, classes), as the checkpoint's own model does."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.norm, self.pre_logits = vit.norm, vit.pre_logits
        self.heads = nn.ModuleList(vit.heads())
        self._answers = vit.answers

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self._answers(x)
        return first if not others else (first + others[0]) / 2


class Authored(nn.Module):
    """One image (1, 3, H, W) to logits (1, classes). It takes `vit` over: rewrites change its modules in place."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.config = vit.config
        self.patches: nn.Module = vit.patch_embed
        self.tokens: nn.Module = Tokens(vit)
        self.blocks = nn.ModuleList(Encoder(block) for block in vit.layers())
        self.answers: nn.Module = Answers(vit)

    def forward(self, images: Tensor) -> Tensor:
        x = self.tokens(self.patches(images))
        for block in self.blocks:
            x = block(x)
        return self.answers(x)

    def encoders(self) -> list[Encoder]:
        return [block for block in self.blocks if isinstance(block, Encoder)]


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
