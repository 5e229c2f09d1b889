"""The Vision Transformer in PyTorch, its parameters named as timm names them, so that published weights fit as they are."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from edgevit.types import Merge, ViTConfig
from edgevit.vit.merging import PatchMerging
from edgevit.vit.positions import Relative, sines
from edgevit.vit.static import Rounding
from edgevit.vit.stem import ResNet


class PatchEmbed(nn.Module):
    """Images (N, 3, H, W) to patch embeddings (N, patches, width), by a convolution with stride equal to its kernel.

    In a hybrid the patches are those of a ResNet's feature map.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.backbone: ResNet | nn.Identity = ResNet(config.stem) if config.stem else nn.Identity()
        channels, cell = (config.stem.channels, config.patch // config.stem.stride) if config.stem else (3, config.patch)
        self.proj = nn.Conv2d(channels, config.width, cell, cell)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(self.backbone(images)).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention over tokens (N, T, width), with relative positions where the model has them.

    Where patches were merged, `log_sizes` (N, 1, T) is added to the logits: a token is looked at as often as the patches that it
    stands for.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.relative = Relative(config) if config.positions == "relative" else None

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (N, heads, T, width / heads)."""
        n, t, width = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def forward(self, x: Tensor, log_sizes: Tensor | None = None) -> Tensor:
        n, t, width = x.shape
        q, k, v = self.split(x)
        bias = self.relative(q) * q.shape[-1] ** -0.5 if self.relative else None
        if log_sizes is not None:
            bias = log_sizes[:, None]
        return self.proj(F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).reshape(n, t, width))

    def weights(self, x: Tensor) -> Tensor:
        """How much each token looks at each: (N, heads, T, T), rows of sum 1."""
        q, k, _ = self.split(x)
        logits = q @ k.transpose(-2, -1) + (self.relative(q) if self.relative else 0)
        return torch.softmax(logits * q.shape[-1] ** -0.5, dim=-1)


class Mlp(nn.Module):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp)
        self.fc2 = nn.Linear(config.mlp, config.width)
        self.act = nn.GELU("tanh" if config.gelu == "tanh" else "none")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """One pre-norm encoder block (paper, equations 2 and 3).

    In training each residual branch is left out with the probability `drop_path`, image by image (stochastic depth,
    arXiv 1603.09382). With `recompute` what a block computed in training is not kept for the way back, but computed once more.
    """

    drop_path = 0.0
    recompute = False

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, config.norm_eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, log_sizes: Tensor | None = None) -> Tensor:
        if self.recompute and self.training:
            return checkpoint(self._computed, x, log_sizes, use_reentrant=False)  # type: ignore[no-any-return]
        return self._computed(x, log_sizes)

    def _computed(self, x: Tensor, log_sizes: Tensor | None) -> Tensor:
        x = x + self._kept(self.attn(self.norm1(x), log_sizes))
        return x + self._kept(self.mlp(self.norm2(x)))

    def _kept(self, branch: Tensor) -> Tensor:
        if not (self.training and self.drop_path):
            return branch
        keep = 1 - self.drop_path
        chosen = torch.empty(len(branch), 1, 1, device=branch.device, dtype=branch.dtype).bernoulli_(keep)
        return branch * chosen / keep


class ViT(nn.Module):
    """Images (N, 3, H, W), normalised, to logits (N, classes). (H, W) is `config.image_size`."""

    pos_embed: Tensor
    entering: Rounding | None = None
    """How a format whose inputs are int8 takes images; the model itself takes floats."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width, patches = config.width, config.patches
        self.patch_embed = PatchEmbed(config)
        for name, tokens in _prefix(config).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(1, tokens, width)))
        if config.positions == "1d":
            self.pos_embed = nn.Parameter(torch.empty(1, config.class_tokens + patches, width))
        elif config.positions == "2d":
            self.pos_rows, self.pos_columns = (nn.Parameter(torch.empty(1, n, width // 2)) for n in config.grid)
        elif config.positions == "sincos":
            self.register_buffer("pos_embed", sines(config.grid, width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.merging = nn.ModuleDict(_merging(config))
        self.norm = nn.LayerNorm(width, config.norm_eps)
        self.pre_logits = nn.Linear(width, config.representation) if config.representation else None
        self.head = nn.Linear(config.representation or width, config.classes) if config.classes else nn.Identity()
        if config.pool == "distilled":
            self.head_dist = nn.Linear(width, config.classes) if config.classes else nn.Identity()
        self._initialise()

    def _initialise(self) -> None:
        """As the paper's own code: Glorot for the encoder, LeCun for the patches, a head of zeros.

        But positions are N(0, 1), as large as the patch embeddings, where the paper's are N(0, 0.02): a long pre-training grows
        them, a short training does not see them in time (docs/log.md has the figures).
        """
        for name, parameter in self.named_parameters():
            if name in ("pos_embed", "pos_rows", "pos_columns"):
                nn.init.normal_(parameter)
            elif name == "reg_token":
                nn.init.normal_(parameter, std=1e-6)
        proj = self.patch_embed.proj
        nn.init.trunc_normal_(proj.weight, std=proj.weight[0].numel() ** -0.5)
        nn.init.zeros_(proj.bias)  # type: ignore[arg-type]
        for name, module in self.blocks.named_modules():
            if isinstance(module, nn.Linear):
                parts = 3 if name.endswith("qkv") else 1  # q, k and v are three maps in one matrix
                for weight in module.weight.chunk(parts):
                    nn.init.xavier_uniform_(weight)
                nn.init.normal_(module.bias, std=1e-6) if ".mlp." in name else nn.init.zeros_(module.bias)
        if self.pre_logits:
            nn.init.trunc_normal_(self.pre_logits.weight, std=self.config.width**-0.5)
            nn.init.zeros_(self.pre_logits.bias)
        for head in self.heads():
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def heads(self) -> list[nn.Linear]:
        """The maps to the classes: one, DeiT's two, or none yet."""
        found = (self.head, getattr(self, "head_dist", None))
        return [head for head in found if isinstance(head, nn.Linear)]

    def layers(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def positions(self) -> Tensor | None:
        """What is added to the patches (1, patches, width); None where nothing is."""
        if self.config.positions == "2d":
            height, width = self.config.grid
            rows, columns = (
                self.pos_rows[:, :, None].expand(-1, -1, width, -1),
                self.pos_columns[:, None].expand(-1, height, -1, -1),
            )
            return torch.cat([rows, columns], dim=-1).flatten(1, 2)
        if self.config.positions == "1d":
            own = self.config.class_tokens
            return self.pos_embed[:, own:] if own else self.pos_embed
        return self.pos_embed if self.config.positions == "sincos" else None

    def prefix(self) -> Tensor | None:
        """What stands before the patches (1, prefix, width): class and distillation token with their positions, registers."""
        tokens = [getattr(self, name) for name in _prefix(self.config)]
        if not tokens:
            return None
        if self.config.positions == "1d":
            for i in range(self.config.class_tokens):
                tokens[i] = tokens[i] + self.pos_embed[:, i : i + 1]
        return tokens[0] if len(tokens) == 1 else torch.cat(tokens, dim=1)

    def embed(self, patches: Tensor) -> Tensor:
        """Patch embeddings (N, patches, width) to the sequence (N, T, width) that enters the encoder."""
        prefix, positions = self.prefix(), self.positions()
        x = patches if positions is None else patches + positions
        return x if prefix is None else torch.cat([prefix.expand(len(x), -1, -1), x], dim=1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The sequence (N, T, width) through all blocks, before the last norm.

        With it how many patches each token stands for (N, T, 1), where patches are merged.
        """
        sizes = log_sizes = None
        for number in range(1, len(self.blocks) + 1):
            x, sizes, log_sizes = self.step(number, x, sizes, log_sizes)
        return x, sizes

    def step(
        self, number: int, x: Tensor, sizes: Tensor | None, log_sizes: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Block `number`, counted from 1, and the merging behind it; `log_sizes` (N, 1, T) as its attention takes them."""
        x = self.blocks[number - 1](x, log_sizes)
        if str(number) not in self.merging:
            return x, sizes, log_sizes
        x, merged = self.merging[str(number)](x, sizes)
        return x, merged, merged.log().transpose(1, 2)

    def answers(self, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        """What `encode` returns to the logits (N, classes) of each head."""
        if self.config.pool == "distilled":
            x = self.norm(x[:, :2])
            return self.head(x[:, 0]), self.head_dist(x[:, 1])
        if self.config.pool == "cls":
            x = self.norm(x[:, 0])
        else:
            x = self._mean(x, sizes)
        return (self.head(torch.tanh(self.pre_logits(x)) if self.pre_logits else x),)

    def _mean(self, x: Tensor, sizes: Tensor | None) -> Tensor:
        """Of the normalised patches: (N, width). A slice that takes all would be an operator that not every converter knows."""
        prefix = self.config.prefix
        x = self.norm(x[:, prefix:] if prefix else x)
        if sizes is None:
            return x.mean(1)
        return (x * (sizes[:, prefix:] if prefix else sizes)).sum(1) / self.config.patches

    def forward(self, images: Tensor) -> Tensor:
        """DeiT's two heads are averaged: their logits, as its published code does."""
        first, *others = self.answers(*self.encode(self.embed(self.patch_embed(images))))
        return first if not others else (first + others[0]) / 2


def merged(vit: ViT, merges: tuple[Merge, ...]) -> ViT:
    """A model with the weights of `vit` that merges patches as `merges` say: `vit` itself where it does so."""
    if merges == vit.config.merges:
        return vit
    found = ViT(dataclasses.replace(vit.config, merges=merges))
    found.load_state_dict(vit.state_dict())
    return found.train(vit.training)


def _merging(config: ViTConfig) -> dict[str, PatchMerging]:
    """By the number of the block behind which it stands."""
    counts = [config.patches, *(merge.patches for merge in config.merges)]
    pairs = itertools.pairwise(counts)
    return {str(merge.after): PatchMerging(config, *pair) for merge, pair in zip(config.merges, pairs, strict=True)}


def _prefix(config: ViTConfig) -> dict[str, int]:
    """Names of the parameters before the patches, in order, and how many tokens each holds."""
    found = {"cls_token": 1} if config.class_tokens else {}
    if config.pool == "distilled":
        found["dist_token"] = 1
    if config.registers:
        found["reg_token"] = config.registers
    return found
