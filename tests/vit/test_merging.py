"""Patches that are alike become one: beside the definition in loops, in batches, with ties; and what cannot be merged."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgevit.errors import BadInput
from edgevit.types import Merge, ViTConfig
from edgevit.vit.config import config, merges, multiply_adds
from edgevit.vit.merging import SHARPNESS, PatchMerging
from edgevit.vit.model import ViT, merged

SHAPE = dataclasses.replace(config("Pico/8", (24, 40), 5), registers=1)
"""15 patches: an odd one, which may not go."""


def by_definition(x: torch.Tensor, sizes: torch.Tensor, prefix: int, after: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One image, token by token."""
    own, patches = list(x[:prefix]), list(x[prefix:])
    weights = sizes[prefix:].flatten().tolist()
    normal = [(p - p.mean()) / (p.var(unbiased=False) + SHAPE.norm_eps).sqrt() for p in patches]
    going = list(range(0, len(patches) - 1, 2))
    staying = [i for i in range(len(patches)) if i not in going]
    share, closeness = {}, {}
    for i in going:
        alike = torch.stack([SHARPNESS * (normal[i] * normal[j]).mean() for j in staying])
        share[i] = torch.softmax(alike, 0)
        closeness[i] = float((share[i] * alike).sum())
    order = sorted(going, key=lambda i: -closeness[i])  # stable: of two that are equal the first comes first
    taken, kept = order[: len(patches) - after], order[len(patches) - after :]
    tokens, left = own + [patches[i] for i in kept], sizes[:prefix].flatten().tolist() + [weights[i] for i in kept]
    for place, j in enumerate(staying):
        parts = [(weights[j], patches[j])] + [(float(share[i][place]) * weights[i], patches[i]) for i in taken]
        left.append(sum(weight for weight, _ in parts))
        tokens.append(torch.stack([weight * patch for weight, patch in parts]).sum(0) / left[-1])
    return torch.stack(tokens), torch.tensor(left, dtype=x.dtype)[:, None]


@pytest.mark.parametrize("after", [8, 11, 14])
@pytest.mark.parametrize("sized", [True, False])
def test_merging_is_its_definition(after: int, sized: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, SHAPE.tokens, SHAPE.width, dtype=torch.float64) + torch.randn(3, 1, SHAPE.width, dtype=torch.float64)
    sizes = torch.rand(3, SHAPE.tokens, 1, dtype=torch.float64) + 0.5 if sized else None
    tokens, left = PatchMerging(SHAPE, SHAPE.patches, after)(x, sizes)
    assert tokens.shape == (3, SHAPE.prefix + after, SHAPE.width) and left.shape == (3, SHAPE.prefix + after, 1)
    for i in range(3):
        expected = by_definition(x[i], torch.ones_like(x[i, :, :1]) if sizes is None else sizes[i], SHAPE.prefix, after)
        assert torch.allclose(tokens[i], expected[0], atol=1e-12) and torch.allclose(left[i], expected[1], atol=1e-12)


def test_no_patch_is_lost() -> None:
    torch.manual_seed(0)
    first, second = PatchMerging(SHAPE, 15, 9), PatchMerging(SHAPE, 9, 5)
    x = torch.randn(2, SHAPE.tokens, SHAPE.width)
    tokens, sizes = second(*first(x, None))
    assert torch.allclose(sizes[:, SHAPE.prefix :].sum(1), torch.tensor(15.0))
    assert torch.equal(sizes[:, : SHAPE.prefix], torch.ones(2, SHAPE.prefix, 1))
    weighted = (tokens * sizes)[:, SHAPE.prefix :].sum(1)
    assert torch.allclose(weighted, x[:, SHAPE.prefix :].sum(1), atol=1e-4), "a sum over all patches does not see the merge"


def test_patches_that_are_all_the_same() -> None:
    """Nothing but ties: the first go, and what is left is the same again."""
    x = torch.randn(1, 1, SHAPE.width).expand(1, SHAPE.tokens, SHAPE.width)
    tokens, sizes = PatchMerging(SHAPE, 15, 10)(x, None)
    assert torch.allclose(tokens, x[:, : SHAPE.prefix + 10], atol=1e-6)
    assert torch.allclose(sizes[:, SHAPE.prefix + 2 :], torch.full((1, 8, 1), 1 + 5 / 8))


def test_a_token_is_looked_at_as_often_as_its_patches() -> None:
    """With two patches for one of size 2, attention gives everybody the same."""
    torch.manual_seed(0)
    attention = ViT(SHAPE).layers()[0].attn
    x = torch.randn(1, 4, SHAPE.width)
    twice = torch.cat([x, x[:, -1:]], 1)
    log_sizes = torch.tensor([[[1.0, 1.0, 1.0, 2.0]]]).log()
    assert torch.allclose(attention(x, log_sizes), attention(twice)[:, :4], atol=1e-6)


def noisy(shape: ViTConfig) -> ViT:
    torch.manual_seed(0)
    vit = ViT(shape).eval()
    for p in vit.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return vit


def test_a_model_merges_and_keeps_its_weights() -> None:
    vit, images = noisy(SHAPE), torch.randn(2, 3, 24, 40)
    less = merged(vit, merges(SHAPE, 0.5))
    assert [(merge.after, merge.patches) for merge in less.config.merges] == [(1, 11), (2, 8)]
    assert less.config.lengths == (17, 13, 10, 10)
    assert less.state_dict().keys() == vit.state_dict().keys()
    with torch.inference_mode():
        answers, whole = less(images), vit(images)
        assert answers.shape == whole.shape and not torch.allclose(answers, whole, atol=1e-4)
        assert torch.allclose(torch.cat([less(image[None]) for image in images]), answers, atol=1e-5)
        assert torch.equal(merged(less, ())(images), whole)
    assert multiply_adds(less.config) < multiply_adds(SHAPE)


def test_a_merged_model_learns() -> None:
    vit = merged(noisy(SHAPE), merges(SHAPE, 0.5)).train()
    vit(torch.randn(2, 3, 24, 40)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in vit.parameters())


@pytest.mark.parametrize("keep", [0.0, 0.2, 1.5, float("nan")])
def test_a_share_that_cannot_be_kept_is_refused(keep: float) -> None:
    with pytest.raises(BadInput, match=r"between 0.25 and 1"):
        merges(SHAPE, keep)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positions": "relative"}, "no positions relative to each other"),
        ({"depth": 2}, "behind one block after another"),
        ({"image_size": (8, 8)}, "leaves"),
        ({"merges": (Merge(1, 12),)}, "merges patches already"),
    ],
)
def test_a_model_that_cannot_merge_is_refused(change: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        merges(dataclasses.replace(SHAPE, **change), 0.5)


def test_all_kept_is_no_merge() -> None:
    assert merges(SHAPE, 1) == ()
