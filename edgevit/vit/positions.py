"""Where a patch is: the position embeddings of the paper (appendix D.4), and how they follow a model to another image size.

A table of positions is carried over by place in the image: the middle of a new patch looks up the old table there, by bicubic
interpolation, beyond the outermost old middles by the value at the edge. It is what `transformers` and timm do for the learned
ones, without their antialiasing; all that changes is the number of patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit.types import Size, ViTConfig

RELATIVE_REST = 3
"""Rows after the offsets: a patch looks at a prefix token, a prefix token at a patch, a prefix token at one."""


class Relative(nn.Module):
    """A learned vector for every offset (down, across) between two patches, dotted with the query that looks.

    "We simply run extra attention, where we use the original query, but relative positional embeddings as keys" (appendix D.4).
    Two changes: offsets are those of rows and columns, so that they mean the same at another size, where the paper's are along
    the flattened sequence; and heads share the vectors, as in Shaw et al. (arXiv 1803.02155).
    """

    index: Tensor

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        height, width = config.grid
        rows = (2 * height - 1) * (2 * width - 1)
        self.table = nn.Parameter(torch.empty(rows + RELATIVE_REST, config.width // config.heads))
        self.register_buffer("index", _offsets(config), persistent=False)
        nn.init.trunc_normal_(self.table, std=0.02)

    def keys(self) -> Tensor:
        """(T, T, width / heads): the vector of the offset from the token that asks (first) to the token that is looked at."""
        return self.table[self.index]

    def forward(self, q: Tensor) -> Tensor:
        """Queries (N, heads, T, d) to what the positions add to their logits (N, heads, T, T)."""
        n, heads, t, d = q.shape
        asked = q.permute(2, 0, 1, 3).reshape(t, n * heads, d)
        return torch.bmm(asked, self.keys().transpose(1, 2)).reshape(t, n, heads, t).permute(1, 2, 0, 3)


def _offsets(config: ViTConfig) -> Tensor:
    """(T, T) rows of the table, for the token that asks and the token that is looked at."""
    (height, width), prefix = config.grid, config.prefix
    down, across = (torch.arange(n) for n in (height, width))
    place_down, place_across = down.repeat_interleave(width), across.repeat(height)
    rows = (place_down[:, None] - place_down) + height - 1
    columns = (place_across[:, None] - place_across) + width - 1
    last = (2 * height - 1) * (2 * width - 1)
    index = torch.full((config.tokens, config.tokens), last + 2)
    index[prefix:, :prefix] = last
    index[:prefix, prefix:] = last + 1
    index[prefix:, prefix:] = rows * (2 * width - 1) + columns
    return index


def sines(grid: Size, width: int) -> Tensor:
    """(1, patches, width): sines and cosines of column and row, a quarter of the width each (arXiv 2104.02057, section 4)."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    rates = 10_000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4 - 1 if width > 4 else 1))
    angles = [place.reshape(-1, 1) * rates for place in (columns, rows)]
    return torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], dim=1).float()[None]


def fitted(tensors: dict[str, Tensor], old: ViTConfig, new: ViTConfig) -> dict[str, Tensor]:
    """The tensors of a model with the config `old`, its positions carried over to the patch grid of `new`."""
    if old.grid == new.grid:
        return tensors
    found = dict(tensors)
    for name, tensor in tensors.items():
        if name == "pos_embed":
            found[name] = _of_patches(tensor, old.class_tokens if old.positions == "1d" else 0, old.grid, new.grid)
        elif name == "pos_rows":
            found[name] = _sampled(tensor[:, :, None], _middles(old.grid[0], new.grid[0]), torch.zeros(1))[:, :, 0]
        elif name == "pos_columns":
            found[name] = _sampled(tensor[:, None], torch.zeros(1), _middles(old.grid[1], new.grid[1]))[:, 0]
        elif name.endswith(".relative.table"):
            found[name] = _of_offsets(tensor, old.grid, new.grid)
    return found


def _of_patches(table: Tensor, before: int, old: Size, new: Size) -> Tensor:
    """(1, before + old patches, width) to (1, before + new patches, width); what stands before belongs to no place."""
    grid = table[:, before:].reshape(1, *old, -1)
    places = [_middles(o, n) for o, n in zip(old, new, strict=True)]
    return torch.cat([table[:, :before], _sampled(grid, *places).flatten(1, 2)], dim=1)


def _of_offsets(table: Tensor, old: Size, new: Size) -> Tensor:
    """Offsets are fractions of the image: one of `n` new patches is one of `n` times old over new."""
    rows, columns = (2 * n - 1 for n in old)
    grid, rest = table[:-RELATIVE_REST].reshape(1, rows, columns, -1), table[-RELATIVE_REST:]
    places = [torch.arange(1 - n, n) * (o / n) + (o - 1) for o, n in zip(old, new, strict=True)]
    return torch.cat([_sampled(grid, *places).reshape(-1, table.shape[1]), rest])


def _middles(old: int, new: int) -> Tensor:
    """Where the middles of `new` patches lie, counted in `old` patches from the middle of the first."""
    return (torch.arange(new) + 0.5) * (old / new) - 0.5


def _sampled(grid: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The table (1, H, W, width) at the given `rows` and `columns`, bicubic (Keys, a = -0.75): (1, rows, columns, width)."""
    place = [
        2 * p.double() / (n - 1) - 1 if n > 1 else p.double() * 0 for p, n in zip((rows, columns), grid.shape[1:3], strict=True)
    ]
    down, across = torch.meshgrid(*place, indexing="ij")
    at = torch.stack([across, down], dim=-1)[None]
    image = grid.permute(0, 3, 1, 2).double()
    found = F.grid_sample(image, at, mode="bicubic", padding_mode="border", align_corners=True)
    return found.permute(0, 2, 3, 1).to(grid.dtype)
