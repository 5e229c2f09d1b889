"""The exact re-authoring of a ViT into the form that XNNPACK delegates whole.

The same function of the images, in other words. `scaled_dot_product_attention` becomes bmm, softmax, bmm in rank 3 (its
decomposition has a masked safe softmax that no delegate takes); LayerNorm, for which XNNPACK has no operator, becomes two maps
to one channel and a few products; class token and position embeddings become constants; and in the last block only the class
token asks and is carried on, for nothing else is read from it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from converters.linear import after_affine, dequantized, quantized, rows, scaled
from edgevit.errors import EdgevitError
from edgevit.vit.model import Block, ViT

EXACT = 1e-9
"""Relative difference in float64 above which a rewrite is not the same function."""


class Normalise(nn.Module):
    """x (.., width) to zero mean and unit variance over the width: LayerNorm before its gain and shift."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (width,) = norm.normalized_shape
        self.mean = nn.Linear(width, 1, bias=False, dtype=norm.weight.dtype).requires_grad_(False)
        self.mean.weight.fill_(1 / width)
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self.mean(x)
        return centred * torch.rsqrt(self.mean(centred * centred) + self.eps)


class Affine(nn.Module):
    """The gain and shift of a LayerNorm, kept apart where the Linear behind holds integers that a folding would change."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain = nn.Parameter(norm.weight.detach().clone(), requires_grad=False)
        self.shift = nn.Parameter(norm.bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + self.shift


def normed(norm: nn.LayerNorm, linear: nn.Linear) -> tuple[nn.Module, nn.Linear]:
    """LayerNorm and the Linear behind it as (module, Linear), the affine folded into a float Linear."""
    if quantized(linear):
        return nn.Sequential(Normalise(norm), Affine(norm)), linear
    return Normalise(norm), after_affine(linear, norm.weight.detach(), norm.bias.detach())


class GainFirstNorm(nn.Module):
    """LayerNorm with its gain before the division by the standard deviation.

    TFLite's converter folds a gain that comes last into the weights behind it, and quantized weights would lose their integers.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred * self.gain * torch.rsqrt(variance + self.eps) + self.shift


class Attention(nn.Module):
    """Self-attention over (1, T, width), or of the class token alone to all tokens where `last`: (1, 1, width)."""

    def __init__(self, block: Block, last: bool) -> None:
        super().__init__()
        width, self.heads, self.last = block.attn.proj.in_features, block.attn.heads, last
        self.norm, qkv = normed(block.norm1, block.attn.qkv)
        self.q = scaled(rows(qkv, 0, width), (width // self.heads) ** -0.5)
        self.k = rows(qkv, width, 2 * width)
        self.v = rows(qkv, 2 * width, 3 * width)
        self.proj = copy.deepcopy(block.attn.proj)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        q = self._split(self.q(x[:, :1] if self.last else x))
        weights = torch.softmax(torch.bmm(q, self._split(self.k(x)).transpose(1, 2)), dim=-1)
        mixed = torch.bmm(weights, self._split(self.v(x)))
        return self.proj(mixed.transpose(0, 1).reshape(1, q.shape[1], -1))

    def _split(self, x: Tensor) -> Tensor:
        """(1, T, width) to (heads, T, width / heads)."""
        return x.reshape(x.shape[1], self.heads, -1).transpose(0, 1)


class Mlp(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm, self.fc1 = normed(block.norm2, block.mlp.fc1)
        self.fc2 = copy.deepcopy(block.mlp.fc2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(self.norm(x))))


class Encoder(nn.Module):
    def __init__(self, block: Block, last: bool) -> None:
        super().__init__()
        self.attention, self.mlp, self.last = Attention(block, last), Mlp(block), last

    def forward(self, x: Tensor) -> Tensor:
        x = (x[:, :1] if self.last else x) + self.attention(x)
        return x + self.mlp(x)


class XnnpackViT(nn.Module):
    """One image (1, 3, S, S) to logits (1, classes): `vit` in the words of XNNPACK."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        positions = vit.pos_embed.detach()
        self.patches = copy.deepcopy(vit.patch_embed.proj).requires_grad_(False)
        self.class_token = nn.Parameter(vit.cls_token.detach() + positions[:, :1], requires_grad=False)
        self.positions = nn.Parameter(positions[:, 1:].clone(), requires_grad=False)
        blocks = [block for block in vit.blocks if isinstance(block, Block)]
        self.blocks = nn.Sequential(*(Encoder(b, last=i == len(blocks) - 1) for i, b in enumerate(blocks)))
        self.norm, self.head = normed(vit.norm, vit.head)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images)
        x = x.reshape(1, x.shape[1], -1).transpose(1, 2) + self.positions
        x = self.blocks(torch.cat([self.class_token, x], dim=1))
        return self.head(self.norm(x)).reshape(1, -1)


def for_xnnpack(vit: ViT) -> nn.Module:
    """`vit` re-authored for ExecuTorch. Raises EdgevitError where the rewrite is not exact."""
    return _proven(vit, XnnpackViT)


def for_tflite(vit: ViT) -> nn.Module:
    """`vit` with every LayerNorm as GainFirstNorm. Raises EdgevitError where the rewrite is not exact."""
    return _proven(vit, _gain_first)


def _gain_first(vit: ViT) -> nn.Module:
    vit = copy.deepcopy(vit)
    for module in list(vit.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.LayerNorm):
                setattr(module, name, GainFirstNorm(child))
    return vit


@torch.no_grad()
def _proven(vit: ViT, rewrite: Callable[[ViT], nn.Module]) -> nn.Module:
    """The rewritten `vit`, after the same rewrite of its float64 twin has given the twin's logits."""
    twin = dequantized(vit).double()
    size = vit.config.image_size
    image = torch.randn(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = twin(image)
    difference = float((rewrite(twin)(image) - expected).norm() / expected.norm().clamp_min(1e-30))
    if not difference <= EXACT:
        raise EdgevitError(f"{rewrite.__name__} is not exact: relative difference {difference:.1e} in float64")
    return rewrite(vit).eval()
