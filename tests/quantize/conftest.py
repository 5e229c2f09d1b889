"""A small model whose answers differ from image to image."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgevit.vit.config import config
from edgevit.vit.model import ViT


@pytest.fixture
def model() -> ViT:
    torch.manual_seed(0)
    vit = ViT(dataclasses.replace(config("Pico/8", (32, 32), 10), depth=2)).eval()
    for p in vit.parameters():
        p.data += 0.05 * torch.randn_like(p)
    torch.nn.init.normal_(vit.head.weight)  # type: ignore[arg-type]
    return vit
