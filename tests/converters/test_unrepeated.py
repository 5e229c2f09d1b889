"""A lowering without what it does over and over gives the same program."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import converters
import quantize
from converters import lowering
from converters.order import Order
from edgevit.types import Preprocess, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize.apply import quantized

SHAPE = config("Pico/8", (16, 16), 5)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("recipe", ["int8", *(pytest.param(name, marks=SLOW) for name in ("fp32", "int4-g32", "int8-static"))])
def test_the_program_is_the_same_to_the_byte(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vit = ViT(SHAPE).eval().requires_grad_(False)
    for p in vit.parameters():
        p.add_(0.1 * torch.randn_like(p))
    images, wanted = torch.randn(8, 3, 16, 16), quantize.get(recipe)
    if wanted.quantizes:
        quantized(vit, wanted, images).put(vit, wanted.activations == "dynamic")
    order = Order(vit, wanted, images, Preprocess((16, 16), (16, 16)))

    def program(name: str) -> bytes:
        (tmp_path / name).mkdir()
        made = converters.convert("executorch", order, tmp_path / name, silent)
        return (tmp_path / name / made.file).read_bytes()

    short = program("short")
    whole: Callable[..., object] = contextlib.nullcontext
    monkeypatch.setattr(lowering, "unrepeated", whole)
    assert program("whole") == short
