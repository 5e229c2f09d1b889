"""Which precision the matrix products of a training have, where the user did not say."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import nn

from edgevit.training.speed import flops
from edgevit.training.workers import Workers
from edgevit.vit.model import ViT

IMAGES, TIMES = 4, 3
PAYS = 1.25
"""So many times faster, at least; below that, noise would decide."""
SMALL = 1e9
"""Operations of an image in a step, up to which nothing is tried: what is saved in them is lost around them (docs/log.md)."""


def choose(model: ViT, crew: Workers) -> str:
    """bfloat16 on a GPU: half the time. On a CPU where it computes so by itself, and this model is the faster for it."""
    if crew.device.type == "cuda":
        return "bfloat16"
    faster = crew.first and crew.device.type == "cpu" and _has_bfloat16() and flops(model.config) > SMALL and _gain(model) > PAYS
    return crew.said("bfloat16" if faster else "float32")


def _has_bfloat16() -> bool:
    """AVX512-BF16 or AMX. Elsewhere the products are made of float32 ones, and slower."""
    known: Mapping[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # older ones do not say, and are taken to have it not
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _gain(model: ViT) -> float:
    """How many times faster a pass there and back is in bfloat16, on a few images: the fastest of each, in turn."""
    images = torch.zeros(IMAGES, 3, *model.config.image_size)
    seconds = {False: [], True: []}  # type: dict[bool, list[float]]
    for _ in range(TIMES):
        for coarse, taken in seconds.items():
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=coarse):
                found = model.encode(model.embed(model.patch_embed(images)))[0]
            found.float().mean().backward()
            taken.append(time.perf_counter() - started)
    nn.Module.zero_grad(model, set_to_none=True)
    return min(seconds[False]) / min(seconds[True])
