"""Merging patches that are alike: fewer tokens for the blocks behind, with shapes that no image changes.

The idea is Token Merging's (arXiv 2210.09461): patches are two sets, and those of the first that are most like one of the second
go into it. Here a patch is shared among all that it is like, by a softmax, and which ones go is a rank by comparisons: so that a
back end needs neither sort nor gather.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgevit.types import ViTConfig

SHARPNESS = 50.0
"""By which the correlation of two patches is multiplied: from 30 to 150 it made no difference that 400 images show."""


class PatchMerging(nn.Module):
    """Tokens (N, prefix + before, width) and their sizes (N, prefix + before, 1) to (N, prefix + after, ..) of each.

    A size is the number of patches that a token stands for. None is one for each.
    """

    def __init__(self, config: ViTConfig, before: int, after: int) -> None:
        super().__init__()
        self.prefix, self.before, self.after, self.width = config.prefix, before, after, config.width
        self.norm = nn.LayerNorm(config.width, config.norm_eps, elementwise_affine=False)

    def forward(self, x: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        if sizes is None:
            sizes = x.new_ones(*x.shape[:2], 1)
        patches = x[:, self.prefix :]
        (going, staying), (going_size, staying_size) = self.apart(patches), self.apart(sizes[:, self.prefix :])
        alike = self.alike(self.norm(patches))
        share = torch.softmax(alike, -1)
        rank = self._rank((share * alike).sum(-1))
        places = torch.arange(self.before - self.after, rank.shape[1], device=x.device)
        kept = (rank[:, None] == places[:, None]).to(x.dtype)
        taken = (rank < self.before - self.after).to(x.dtype)[..., None] * going_size
        weight = (share * taken).transpose(1, 2)
        size = staying_size + weight.sum(-1, keepdim=True)
        staying = (staying_size * staying + weight @ going) / size
        tokens, left = [x[:, : self.prefix], kept @ going, staying], [sizes[:, : self.prefix], kept @ going_size, size]
        return torch.cat(tokens, 1), torch.cat(left, 1)

    def apart(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, before, d) to every other one, which may go (N, before // 2, d), and the rest (N, before - before // 2, d)."""
        pairs, d = self.before // 2, x.shape[2]
        if self.before % 2 == 0:
            both = x.reshape(x.shape[0], pairs, 2 * d)
            return both[..., :d], both[..., d:]
        both = x[:, : 2 * pairs].reshape(x.shape[0], pairs, 2 * d)
        return both[..., :d], torch.cat([both[..., d:], x[:, 2 * pairs :]], 1)

    def alike(self, normal: Tensor) -> Tensor:
        """Normalised patches (N, before, width) to their correlations (N, going, staying), times the sharpness."""
        going, staying = self.apart(normal)
        return torch.bmm(going, staying.transpose(1, 2) * (SHARPNESS / self.width))

    def _rank(self, closeness: Tensor) -> Tensor:
        """(N, going): how many are more like another than this one; of two that are equal the first comes first."""
        one, other = closeness[:, :, None], closeness[:, None]
        earlier = torch.ones(other.shape[2], other.shape[2], dtype=torch.bool, device=closeness.device).tril(-1)
        return ((other > one) | ((other == one) & earlier)).sum(-1)
